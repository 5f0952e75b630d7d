import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { OldSqlite } from '../checkpoint/old-sqlite.ts'
import { checkFiles, checkLogs } from '../crash/log-check.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { runVictim, type How, type VictimOptions } from './victim.ts'
import { inspectLog } from '../../src/log/open.ts'
import { listLogs, logDirectory } from '../../src/log/store.ts'
import { nodeFiles } from '../../src/util/files.ts'

/**
 * Applications that are killed, or told of an error, at every system call of a commit, while another process has the database open: what it then
 * reads and writes, the log, and the file end equal.
 */

interface Scene {
  readonly name: string
  readonly window: VictimOptions['window']
  readonly pragmas: readonly string[]
  readonly hows: readonly How[]
  /** Between the commit frame and the wal-index lies what makes transactions abandoned. */
  readonly abandons: boolean
}

/** Killed after a call is killed before the next one, and with what lies between them in shared memory. */
const KILLS: readonly How[] = ['after']
const ALL: readonly How[] = ['after', 'fail', 'lie']
/** Pages of a transaction go to the WAL, or to the file, before its COMMIT. */
const SPILL = 'cache_size = 3'

const SCENES: readonly Scene[] = [
  { name: 'WAL, NORMAL', window: 'commit', pragmas: ['synchronous = NORMAL'], hows: ALL, abandons: true },
  { name: 'WAL, FULL', window: 'commit', pragmas: ['synchronous = FULL'], hows: ALL, abandons: true },
  {
    name: 'WAL, FULL, spilled',
    window: 'transaction',
    pragmas: ['synchronous = FULL', SPILL],
    hows: ALL,
    abandons: true,
  },
  { name: 'DELETE, spilled', window: 'transaction', pragmas: [SPILL], hows: KILLS, abandons: false },
  {
    name: 'TRUNCATE',
    window: 'transaction',
    pragmas: ['journal_mode = TRUNCATE', SPILL],
    hows: KILLS,
    abandons: false,
  },
  {
    name: 'PERSIST',
    window: 'transaction',
    pragmas: ['journal_mode = PERSIST', SPILL],
    hows: KILLS,
    abandons: false,
  },
]

for (const scene of SCENES) {
  test(`an application that ends at any call of a commit: ${scene.name}`, { timeout: 300_000 }, async () => {
    const base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-abandoned-'))
    onTestFinished(() => rmSync(base, { recursive: true, force: true }))
    const mount = join(base, 'mount')
    const data = join(base, 'data')
    const notes = join(base, 'notes')
    mkdirSync(notes)
    const node = LtxdNode.start({ mount, data, logFile: join(base, 'log') })
    onTestFinished(() => node.destroy())
    await node.mounted()

    const told: string[] = []
    let points = 0
    for (const how of scene.hows) {
      const calls = await endAt(mount, notes, scene, how, 0)
      const ends: number[] = []
      for (let at = 1; at <= calls; at++) ends.push(await endAt(mount, notes, scene, how, at))
      points += calls
      const ended = ends.filter((end) => end < 0).length
      told.push(`${how} ${calls} calls (${ended} times it did not commit)`)
      if (how === 'after') expect(ends).toEqual(ends.map(() => KILLED))
      else expect(ended).toBeGreaterThan(0)
    }
    expect((await node.stop()).code).toBe(0)
    expect([...checkLogs(data), ...checkFiles(data)]).toEqual([])
    const abandoned = countAbandoned(data)
    console.log(`${scene.name}: ${points} ends, ${abandoned} transactions abandoned: ${told.join(', ')}`)
    if (scene.abandons) expect(abandoned).toBeGreaterThan(0)
  })
}

/** Before the victim's transaction; it changes twelve of them and adds one. */
const ROWS = 24

const KILLED = -1
const FAILED = -2

/** One victim's end and what is found after it; the number of its calls where it ended by itself. */
async function endAt(mount: string, notes: string, scene: Scene, how: How, at: number): Promise<number> {
  const database = join(mount, nameOf(how, at))
  const about = `${how} call ${at}`
  await using survivor = new OldSqlite(database)
  await survivor.sql(`PRAGMA journal_mode = ${scene.name.startsWith('WAL') ? 'WAL' : 'DELETE'}`)
  await survivor.sql('BEGIN')
  await survivor.sql('CREATE TABLE entry (n INTEGER PRIMARY KEY, filler BLOB)')
  await survivor.sql('CREATE TABLE tally (entries INTEGER)')
  await survivor.sql(
    `INSERT INTO entry WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < ${ROWS}) SELECT i, randomblob(500) FROM r`,
  )
  await survivor.sql(`INSERT INTO tally VALUES (${ROWS})`)
  await survivor.sql('COMMIT')

  const { outcome, calls } = await runVictim({ database, notes, how, at, window: scene.window, pragmas: scene.pragmas })
  const seen = await survivor.value('SELECT count(*) FROM entry')
  if (outcome === 'committed') expect(seen, about).toBe(ROWS + 1)
  expect([ROWS, ROWS + 1], about).toContain(seen)
  expect(await survivor.value('SELECT entries FROM tally'), about).toBe(seen)
  // What was not committed changed nothing.
  const changed = await survivor.value('SELECT count(*) FROM entry WHERE n <= 12 AND length(filler) = 700')
  expect(changed, about).toBe(seen === ROWS + 1 ? 12 : 0)
  await survivor.sql('INSERT INTO entry VALUES (200, randomblob(900))')
  await survivor.sql('UPDATE tally SET entries = entries + 1')

  await using fresh = new OldSqlite(database)
  expect(await fresh.value('PRAGMA integrity_check'), about).toBe('ok')
  expect(await fresh.value('SELECT count(*) FROM entry'), about).toBe((seen as number) + 1)
  expect(await fresh.value('SELECT entries FROM tally'), about).toBe((seen as number) + 1)
  await fresh.close()
  await survivor.close()
  if (outcome === 'killed') return KILLED
  return outcome === 'error' ? FAILED : calls
}

/** Those whose pages a later transaction of the log took back: where there are more of them than where nothing happened. */
function countAbandoned(data: string): number {
  const plain = transactionsOf(data, nameOf('after', 0))
  const all = listLogs(nodeFiles, data).map((database) => transactionsOf(data, database))
  return all.filter((transactions) => transactions > plain).length
}

function transactionsOf(data: string, database: string): bigint {
  return inspectLog(nodeFiles, logDirectory(data, database)).last.txid
}

function nameOf(how: How, at: number): string {
  return `${how}-${at}.db`
}
