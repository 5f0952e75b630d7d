import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { logDirectory, readBase, readSynced } from '../../../src/log/store.ts'
import { formatPosition } from '../../../src/ltx/format/types.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader, sizePages } from '../../../src/sqlite/database-header.ts'
import { errorCode } from '../../../src/util/errors.ts'
import { nodeFiles } from '../../../src/util/files.ts'
import { digest, digestOfFile, EMPTY } from '../digest.ts'
import { replayLog } from './log-replay.ts'
import type { InProcessOptions } from './node-in-process.ts'
import { InProcessNode } from './node-in-process.ts'
import { SqliteEngine } from './sqlite-engine.ts'

export function digestThrough(engine: SqliteEngine, name: string): string {
  const connection = engine.open(name)
  try {
    return digest((sql) => connection.exec(sql))
  } finally {
    connection.close()
  }
}

/**
 * Recovers the data directory that a crash left, and checks the invariants: the log is gapless (I2), the file has
 * exactly the pages of the log (I3), and a second recovery has nothing to do. Returns the digest that an application
 * then reads.
 */
export function recoverAndCheck(
  dataDir: string,
  name: string,
  options: Omit<InProcessOptions, 'dataDir'> = {},
): { digest: string; txid: bigint } {
  const node = new InProcessNode({ ...options, dataDir })
  const recovered = node.recovered.get(name)
  assert.equal(recovered?.rejection, undefined)
  recovered?.trust.verify()
  const position = recovered?.position
  node.close()
  const path = `${dataDir}/files/${name}`
  if (position === undefined) return { digest: digestOfFile(path), txid: 0n }
  const replayed = replayLog(dataDir, name)
  const leftovers = ['-wal', '-journal'].filter((suffix) => fs.existsSync(path + suffix))
  if (replayed.commit > 0) assert.deepEqual(leftovers, [], 'no WAL or journal is left')
  assert.equal(formatPosition(replayed), formatPosition(position), 'the log ends at the recovered position')
  if (replayed.commit > 0) {
    assert.ok(replayed.bytes().equals(fs.readFileSync(path)), 'I3: the file has the pages of the log')
  }
  const before = contentOf(dataDir)
  const again = new InProcessNode({ ...options, dataDir })
  assert.equal(formatPosition(again.position(name)), formatPosition(position), 'a second recovery changes nothing')
  again.close()
  assert.deepEqual(contentOf(dataDir), before, 'a second recovery changes nothing')
  return { digest: replayed.commit > 0 ? digestOfFile(path) : EMPTY, txid: position.txid }
}

function contentOf(dir: string): Record<string, string> {
  const content: Record<string, string> = {}
  for (const entry of fs.readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = `${entry.parentPath}/${entry.name}`
    content[path] = createHash('sha256').update(fs.readFileSync(path)).digest('hex')
  }
  return content
}

/** Checks that the database works after a recovery: the next transaction is captured, and survives the next crash. */
export function checkWorks(dataDir: string, name: string): void {
  const node = new InProcessNode({ dataDir })
  const engine = new SqliteEngine(node.mount, { seed: 1 })
  const connection = engine.open(name)
  connection.exec('CREATE TABLE IF NOT EXISTS alive (a); INSERT INTO alive VALUES (1); INSERT INTO alive VALUES (2)')
  const expected = digest((sql) => connection.exec(sql))
  connection.kill()
  node.close()
  assert.equal(recoverAndCheck(dataDir, name).digest, expected, 'a commit after a recovery is there after the next')
}

/** The position that the log of each database must contain, as `txid/checksum` by database. */
export type Claims = ReadonlyMap<string, string>

/**
 * Recovers every database in the data directory that a crash left, and checks the invariants: every claimed position is
 * in the log (I1, I4), the log is gapless (I2) and has exactly the file's pages (I3), the position of `synced.json` is
 * in the log, and a second recovery has nothing to do. Returns the digests that applications then read, by database.
 * `mayBeTorn`: a database that no position is claimed of may be damaged, as SQLite sees it.
 */
export function recoverAll(
  dataDir: string,
  claims: Claims,
  options: Omit<InProcessOptions, 'dataDir'> = {},
  mayBeTorn = false,
): Map<string, string> {
  const node = new InProcessNode({ ...options, dataDir })
  const positions = Array.from(node.recovered, ([name, { rejection, trust, position }]) => {
    assert.equal(rejection, undefined, `${name} is served`)
    trust.verify()
    return [name, position] as const
  })
  node.close()
  const alive = new Set<string>()
  for (const [name, position] of positions) {
    const path = `${dataDir}/files/${name}`
    const dir = logDirectory(dataDir, name)
    const known = new Set([formatPosition(readBase(nodeFiles, dir))])
    const replayed = replayLog(dataDir, name, ({ txid, checksum }) => known.add(formatPosition({ txid, checksum })))
    assert.equal(
      formatPosition(replayed),
      formatPosition(position),
      `the log of ${name} ends at the recovered position`,
    )
    const claim = claims.get(name)
    if (claim !== undefined) assert.ok(known.has(claim), `I1, I4: ${name} has ${claim} in its log`)
    assert.ok(known.has(formatPosition(readSynced(nodeFiles, dir))), `the log of ${name} has the synced position`)
    if (replayed.commit === 0) assert.ok(!isWhole(path), `${name} is dropped`)
    else {
      alive.add(name)
      assert.ok(replayed.bytes().equals(fs.readFileSync(path)), `I3: ${name} has the pages of the log`)
      const leftovers = ['-wal', '-journal'].filter((suffix) => fs.existsSync(path + suffix))
      assert.deepEqual(leftovers, [], `no WAL or journal is left of ${name}`)
    }
  }
  for (const name of claims.keys()) assert.ok(node.recovered.has(name), `I1, I4: ${name} is there`)
  const before = contentOf(dataDir)
  new InProcessNode({ ...options, dataDir }).close()
  assert.deepEqual(contentOf(dataDir), before, 'a second recovery changes nothing')
  for (const name of fs.readdirSync(`${dataDir}/files`)) {
    const isLeftOut = name.endsWith('.db') && !alive.has(name) && isWhole(`${dataDir}/files/${name}`)
    assert.ok(!isLeftOut, `${name} is a database, and replicated`)
  }
  const digestOf = (name: string) => {
    try {
      return digestOfFile(`${dataDir}/files/${name}`)
    } catch (error) {
      if (mayBeTorn && !claims.has(name) && errorCode(error) === 'SQLITE_CORRUPT') return 'damaged'
      throw error
    }
  }
  return new Map(Array.from(alive, (name) => [name, digestOf(name)]))
}

/**
 * Whether a database is rejected, by recovery or by the proof of the pages that recovery did not read. Asserts that the
 * logs of the rejected databases have every position reported as durable (I4).
 */
export function isRejectedWithLog(
  dataDir: string,
  claims: Claims,
  options: Omit<InProcessOptions, 'dataDir'>,
): boolean {
  const node = new InProcessNode({ ...options, dataDir })
  for (const database of node.recovered.values()) {
    try {
      if (database.rejection === undefined) database.trust.verify()
    } catch (error) {
      if (database.rejection === undefined) throw error
    }
  }
  const rejected = Array.from(node.recovered.values()).filter(({ rejection }) => rejection !== undefined)
  node.close()
  for (const { name } of rejected) {
    const known = new Set<string>()
    replayLog(dataDir, name, (at) => known.add(formatPosition(at)))
    const claim = claims.get(name)
    if (claim !== undefined) assert.ok(known.has(claim), `I4: ${name}, which is rejected, has ${claim} in its log`)
  }
  return rejected.length > 0
}

/** Whether the file is a complete database. */
function isWhole(path: string): boolean {
  if (!fs.existsSync(path)) return false
  const bytes = fs.readFileSync(path)
  const header = parseDatabaseHeader(bytes.subarray(0, DATABASE_HEADER_SIZE))
  if (header === undefined) return false
  const pages = sizePages(header, bytes.length)
  return pages > 0 && bytes.length >= pages * header.pageSize
}
