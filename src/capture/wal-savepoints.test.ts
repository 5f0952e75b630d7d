import { expect, test, vi } from 'vitest'
import { effort, HANG_MS, SEED } from '../../test/harness/effort.ts'
import type { Connection } from '../../test/harness/in-process/sqlite-engine.ts'
import { Random } from '../../test/harness/random.ts'
import { formatPosition } from '../ltx/format/types.ts'

/**
 * The harness with a SQLite in which ROLLBACK TO leaves frames without salts and checksums (wal-overwrites.ts). Test
 * files share their modules, so these are loaded apart, and forgotten again.
 */
async function loadWithOldSqlite() {
  vi.resetModules()
  vi.doMock('@sqlite.org/sqlite-wasm', () => vi.importActual('sqlite-wasm-old'))
  try {
    return {
      ...(await import('../../test/harness/in-process/sqlite-vfs.ts')),
      ...(await import('../../test/harness/in-process/sqlite-engine.ts')),
      ...(await import('../../test/harness/in-process/node-in-process.ts')),
      ...(await import('../../test/harness/in-process/page-cache.ts')),
      ...(await import('../../test/harness/in-process/observer.ts')),
      ...(await import('../../test/harness/in-process/log-replay.ts')),
    }
  } finally {
    vi.doUnmock('@sqlite.org/sqlite-wasm')
    vi.resetModules()
  }
}

type Harness = Awaited<ReturnType<typeof loadWithOldSqlite>>

/** LTXD_SEED replays one run; RUNS sets how many runs there are. */
const runs = effort(3, 200, 'RUNS')
const TRANSACTIONS = 20
const ROWS = 150

/** Changes of more pages than the cache holds, so that pages spill, and spill again. */
function transaction(random: Random): string {
  const range = () => {
    const from = random.integer(1, ROWS)
    return `${from} AND ${Math.min(ROWS, from + random.integer(0, random.next() < 0.5 ? 5 : ROWS))}`
  }
  const change = () => `UPDATE t SET b = randomblob(${random.integer(200, 700)}) WHERE a BETWEEN ${range()}`
  const statements = ['BEGIN']
  const open: string[] = []
  if (random.next() < 0.6) {
    // Frames of the second change overwrite those of the first, which lie behind the savepoint.
    const spilled = `UPDATE t SET b = randomblob(${random.integer(200, 700)}) WHERE a BETWEEN 40 AND ${random.integer(70, ROWS)}`
    statements.push(change(), `SAVEPOINT s${open.push('s0') - 1}`, spilled, spilled, 'ROLLBACK TO s0', change())
  }
  for (let i = random.integer(0, 10); i > 0; i--) {
    const dice = random.integer(1, 10)
    if (dice <= 6) statements.push(change())
    else if (dice <= 8) statements.push(`SAVEPOINT s${open.push(`s${open.length}`) - 1}`)
    else if (open.length > 0) {
      const to = random.integer(0, open.length - 1)
      statements.push(`ROLLBACK TO s${to}`)
      open.length = to + 1
    }
  }
  statements.push(random.next() < 0.85 ? 'COMMIT' : 'ROLLBACK')
  return statements.join('; ')
}

function cut(random: Random): (lengthBytes: number) => number[] {
  return (lengthBytes) => {
    if (lengthBytes < 2 || random.next() < 0.9) return [lengthBytes]
    const first = random.integer(1, lengthBytes - 1)
    return [first, lengthBytes - first]
  }
}

function run(harness: Harness, seed: number): number {
  const { temporaryDirectory, InProcessNode, SqliteEngine, PageCache, observe, replayLog } = harness
  using temporary = temporaryDirectory()
  const random = new Random(seed)
  const node = new InProcessNode({ dataDir: temporary.dir })
  node.mount.cut = cut(random)
  const engine = new SqliteEngine(new PageCache(node, random), {
    seed,
    powersafeOverwrite: random.next() < 0.5,
    sectorSizeBytes: random.next() < 0.5 ? 512 : 4096,
  })
  const synchronous = random.next() < 0.5 ? 'FULL' : 'NORMAL'
  const open = () => {
    const connection = engine.open('a.db')
    const automatic = random.next() < 0.7 ? 0 : 40
    connection.exec(
      `PRAGMA synchronous = ${synchronous}; PRAGMA cache_size = ${random.integer(2, 8)}; PRAGMA wal_autocheckpoint = ${automatic}`,
    )
    return connection
  }
  const first = engine.open('a.db')
  first.exec(`PRAGMA page_size = ${[512, 1024, 4096][random.integer(0, 2)]}; PRAGMA journal_mode = WAL`)
  first.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, b)')
  first.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS}) INSERT INTO t SELECT i, zeroblob(400) FROM n`,
  )
  const connections: Connection[] = [first, open()]
  const check = (what: string) => {
    const expected = node.position('a.db').checksum
    expect(observe(engine, 'a.db').checksum, what).toBe(expected)
  }
  for (let i = 0; i < TRANSACTIONS; i++) {
    const sql = transaction(random)
    connections[random.integer(0, 1)]?.exec(sql)
    check(sql)
    const dice = random.integer(1, 10)
    if (dice <= 2) {
      // The last connections die: the next one recovers the WAL.
      for (const connection of connections.splice(0)) connection.kill()
      check(`recovery after ${sql}`)
      connections.push(open(), open())
    } else if (dice === 3) {
      const at = random.integer(0, 1)
      connections[at]?.close()
      connections[at] = open()
    } else if (dice === 4) connections[0]?.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  }
  expect(node.complaints()).toEqual([])
  const position = formatPosition(node.position('a.db'))
  expect(formatPosition(replayLog(temporary.dir, 'a.db'))).toBe(position)
  for (const connection of connections) connection.kill()
  node.close()
  const again = new InProcessNode({ dataDir: temporary.dir })
  expect(formatPosition(again.position('a.db'))).toBe(position)
  expect(again.complaints()).toEqual([])
  again.close()
  return node.mended.length
}

test(
  `a transaction that was rolled back to a savepoint after it had spilled is captured, and its frames are mended (LTXD_SEED=${SEED} RUNS=${runs})`,
  { timeout: HANG_MS + runs * 10_000 },
  async () => {
    const harness = await loadWithOldSqlite()
    let mended = 0
    // A few runs more if none of them met the fault.
    for (let i = 0; i < runs || (mended === 0 && i < 10 * runs); i++) {
      try {
        mended += run(harness, SEED + i)
      } catch (error) {
        throw new Error(`LTXD_SEED=${SEED + i} RUNS=1 failed`, { cause: error })
      }
    }
    const { libVersion } = harness.sqlite.version
    console.log(`${runs} runs with SQLite ${libVersion}, ${mended} transactions mended`)
    expect(mended).toBeGreaterThan(0)
  },
)
