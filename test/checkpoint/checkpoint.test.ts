import { execFile } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import Sqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { SqlClient } from '../cluster/sql-client.ts'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { Random } from '../harness/random.ts'
import { until } from '../harness/wait.ts'
import { CheckpointedNode } from './checkpointed-node.ts'
import { OldSqlite, type Said } from './old-sqlite.ts'

/** KILLS of the local client or an application; CHANGES of the number of connections; LTXD_SEED replays a run. */
const KILLS = effort(2, 20, 'KILLS')
const CHANGES = effort(12, 100, 'CHANGES')

const DATABASE = 'a.db'
const TRANSACTIONS = 2_000
/** Beyond 16,000 frames the checkpointer blocks writers until the WAL is reset. */
const MAX_WAL_BYTES = 16_000 * (4096 + 24)
const COMPLAINTS = /I11|never published|rejected|not served|refused|complains/

/** Two connections. The local client has noticed both and holds the checkpoint lock. */
async function twoConnections(node: CheckpointedNode): Promise<[OldSqlite, OldSqlite]> {
  const first = new OldSqlite(node.at(DATABASE))
  await first.sql('PRAGMA journal_mode = WAL')
  await first.sql('CREATE TABLE log(id INTEGER PRIMARY KEY, writer, n, filler)')
  await first.sql('CREATE TABLE pages(id INTEGER PRIMARY KEY, n, filler)')
  await first.sql(
    'WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < 499) INSERT INTO pages SELECT i, 0, randomblob(1500) FROM i',
  )
  const second = new OldSqlite(node.at(DATABASE))
  await second.sql('SELECT count(*) FROM pages')
  await node.guarded(DATABASE)
  return [first, second]
}

function busyOf(said: readonly Said[]): Set<number> {
  return new Set(said.flatMap((one) => Object.values(one).flat()))
}

async function nothingLost(connection: OldSqlite | SqlClient, commits: Record<string, number>): Promise<void> {
  const value = (sql: string) => connection.value(sql)
  for (const [writer, count] of Object.entries(commits)) {
    const rows = `FROM log WHERE writer = '${writer}'`
    expect(await value(`SELECT count(*) || ' ' || count(DISTINCT n) || ' ' || max(n) ${rows}`)).toBe(
      `${count} ${count} ${count - 1}`,
    )
  }
  const all = Object.values(commits).reduce((sum, count) => sum + count, 0)
  expect(await value('SELECT total(n) FROM pages')).toBe(all)
  expect(await value('PRAGMA integrity_check')).toBe('ok')
}

test('two writers at full speed lose nothing to their checkpoints; their WAL stays short, and the last one to close removes it', async () => {
  await using node = await CheckpointedNode.start()
  const [first, second] = await twoConnections(node)
  await using _first = first
  await using _second = second
  let longest = 0
  const watch = setInterval(() => (longest = Math.max(longest, node.walBytes(DATABASE))), 20)
  const said = await Promise.all([
    first.write('first', TRANSACTIONS, ['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE']),
    second.write('second', TRANSACTIONS, ['TRUNCATE', 'PASSIVE']),
  ]).finally(() => clearInterval(watch))
  // A short WAL they may checkpoint; a long one, or one that is being checkpointed, they find busy.
  expect([...busyOf(said)].every((busy) => busy === 0 || busy === 1)).toBe(true)
  expect(longest).toBeLessThan(MAX_WAL_BYTES)
  expect(node.walSequence(DATABASE)).toBeGreaterThan(0)
  const { checkpoint } = (await node.status(DATABASE)) ?? {}
  expect(checkpoint).toMatchObject({ isGuarded: true, alarms: 0 })
  expect(await node.metrics()).toMatch(/^ltxd_db_checkpoint_guarded\{db="a.db"\} 1$/m)
  const fresh = new SqlClient(node.at(DATABASE))
  await using _fresh = fresh
  await nothingLost(fresh, { first: TRANSACTIONS, second: TRANSACTIONS })
  await fresh.close()
  await first.close()
  await second.close()
  await until('the WAL to go with the last connection', 60_000, () => !node.hasWal(DATABASE))
  await node.stopAndCompare(DATABASE)
  expect(node.log).not.toMatch(COMPLAINTS)
})

test(
  `kill -9 of the local client in a checkpoint loses nothing, and a new one takes over (KILLS=${KILLS} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + KILLS * 30_000 },
  async () => {
    const random = new Random(SEED)
    await using node = await CheckpointedNode.start()
    const [first, second] = await twoConnections(node)
    await using _first = first
    await using _second = second
    const commits: Record<string, number> = {}
    for (let kill = 1; kill <= KILLS; kill++) {
      const before = (await node.status(DATABASE))?.checkpoint?.count ?? 0
      const writing = Promise.all([first.write(`first${kill}`, 1_500), second.write(`second${kill}`, 1_500)])
      await until('a checkpoint', 60_000, async () => {
        return ((await node.status(DATABASE))?.checkpoint?.count ?? 0) > before
      })
      await sleep(random.next() * 300)
      const killed = node.client
      node.killClient()
      await until('another local client', 60_000, () => node.client !== undefined && node.client !== killed)
      await writing
      await node.guarded(DATABASE)
      for (const writer of ['first', 'second']) commits[`${writer}${kill}`] = 1_500
    }
    await nothingLost(first, commits)
    await first.close()
    await second.close()
    await node.stopAndCompare(DATABASE)
    expect(node.log).not.toMatch(COMPLAINTS)
  },
)

test(`a connection that is alone again can checkpoint and change the mode (CHANGES=${CHANGES} LTXD_SEED=${SEED})`, async () => {
  const random = new Random(SEED)
  await using node = await CheckpointedNode.start()
  const [first, second] = await twoConnections(node)
  await using _first = first
  let other = second
  let written = 0
  for (let change = 0; change < CHANGES; change++) {
    await Promise.all([first.write(`first${change}`, 100), other.write(`second${change}`, 100)])
    written += 200
    const chance = random.next()
    // Otherwise the client might take the lock just after the other connection closed, and hold it for a moment.
    if (chance < 0.6) await node.guarded(DATABASE)
    await other.close()
    if (chance < 0.3) {
      await node.guarded(DATABASE, false)
      expect(await first.value('PRAGMA journal_mode = DELETE')).toBe('delete')
      expect(node.hasWal(DATABASE)).toBe(false)
      expect(await first.value('PRAGMA journal_mode = WAL')).toBe('wal')
    } else if (chance < 0.6) {
      await node.guarded(DATABASE, false)
      const [busy] = (await first.sql('PRAGMA wal_checkpoint(TRUNCATE)'))[0] ?? []
      expect(busy).toBe(0)
      expect(node.walBytes(DATABASE)).toBe(0)
    }
    other = new OldSqlite(node.at(DATABASE))
    expect(await other.value('SELECT total(n) FROM pages')).toBe(written)
    if (chance > 0.5) await node.guarded(DATABASE)
  }
  expect(await first.value('PRAGMA integrity_check')).toBe('ok')
  await first.close()
  await other.close()
  await until('the WAL to go with the last connection', 60_000, () => !existsSync(`${node.behind(DATABASE)}-shm`))
  expect(node.hasWal(DATABASE)).toBe(false)
  await node.stopAndCompare(DATABASE)
  expect(node.log).not.toMatch(COMPLAINTS)
})

test(
  `kill -9 of an application in a transaction loses no commit and stops nobody (KILLS=${KILLS} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + KILLS * 30_000 },
  async () => {
    const random = new Random(SEED)
    await using node = await CheckpointedNode.start()
    const [first, second] = await twoConnections(node)
    await using _first = first
    await second.close()
    for (let kill = 1; kill <= KILLS; kill++) {
      const victim = new OldSqlite(node.at(DATABASE))
      const committed = Number(await victim.value('SELECT count(*) FROM log'))
      const killed = victim.write(`victim${kill}`, 1_000_000).catch((error: unknown) => error)
      await until('its transactions', 60_000, async () => {
        return Number(await first.value('SELECT count(*) FROM log')) > committed + 20
      })
      await sleep(random.next() * 500)
      const seen = Number(await first.value('SELECT count(*) FROM log'))
      await victim[Symbol.asyncDispose]()
      expect(await killed).toBeInstanceOf(Error)
      expect(Number(await first.value('SELECT count(*) FROM log'))).toBeGreaterThanOrEqual(seen)
      await first.write(`first${kill}`, 100)
    }
    // Each writer's rows have no gap from 0 on, and all of the survivor's are there.
    expect(await first.sql('SELECT writer FROM log GROUP BY writer HAVING count(*) <> max(n) + 1')).toEqual([])
    expect(await first.value("SELECT count(*) FROM log WHERE writer GLOB 'first*'")).toBe(KILLS * 100)
    // Each victim dies at most once between its two statements.
    const apart = Number(await first.value('SELECT (SELECT count(*) FROM log) - (SELECT total(n) FROM pages)'))
    expect(apart).toBeGreaterThanOrEqual(0)
    expect(apart).toBeLessThanOrEqual(KILLS)
    expect(await first.value('PRAGMA integrity_check')).toBe('ok')
    await first.close()
    await until('the WAL to go with the last connection', 60_000, () => !node.hasWal(DATABASE))
    await node.stopAndCompare(DATABASE)
    expect(node.log).not.toMatch(/I11|refused|reports an error/)
  },
)

test('explicit checkpoints among several connections do what SQLite says, and the file alone has everything', async () => {
  await using node = await CheckpointedNode.start()
  const [first, second] = await twoConnections(node)
  await using _first = first
  await using _second = second
  let commits = 0
  for (const kind of ['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE', 'TRUNCATE', 'PASSIVE'] as const) {
    for (const connection of [first, second]) {
      await connection.write(`w${commits}`, 10)
      commits++
      const sequence = node.walBytes(DATABASE) > 0 ? node.walSequence(DATABASE) : undefined
      const [[busy, frames, copied] = []] = await connection.sql(`PRAGMA wal_checkpoint(${kind})`)
      expect([busy, copied], kind).toEqual([0, frames])
      const copy = `${node.node.options.data}/copy.db`
      copyFileSync(node.behind(DATABASE), copy)
      const file = new Sqlite(copy)
      expect(file.prepare('SELECT total(n) FROM pages').pluck().get()).toBe(10 * commits)
      file.close()
      if (kind === 'TRUNCATE') expect(node.walBytes(DATABASE)).toBe(0)
      // Nobody else begins the WAL anew.
      else if (kind !== 'RESTART' && sequence !== undefined) {
        await second.write(`after${commits}`, 0)
        expect(node.walSequence(DATABASE)).toBe(sequence)
      }
    }
  }
  expect(await first.value('PRAGMA integrity_check')).toBe('ok')
  await first.close()
  await second.close()
  await node.stopAndCompare(DATABASE)
  expect(node.log).not.toMatch(COMPLAINTS)
})

test('the traces of the WAL-reset bug are noticed, logged and counted', async () => {
  await using node = await CheckpointedNode.start()
  const [first, second] = await twoConnections(node)
  await using _first = first
  await using _second = second
  await first.write('first', 20)
  // In another process: this one may not touch the mount.
  const poke = 'import sys; f = open(sys.argv[1], "r+b", 0); f.seek(96); f.write((100000).to_bytes(4, sys.byteorder))'
  await promisify(execFile)('python3', ['-c', poke, `${node.at(DATABASE)}-shm`])
  await until('the alarm', 60_000, async () => (await node.status(DATABASE))?.checkpoint?.alarms === 1)
  expect(node.log).toMatch(/I11: the WAL has \d+ frames, but 100000 are marked as copied/)
  expect(await node.metrics()).toMatch(/^ltxd_db_wal_guard_alarms_total\{db="a.db"\} 1$/m)
})

test('a single writer beside a reader never finds the database busy, and its WAL stays short', async () => {
  await using node = await CheckpointedNode.start()
  const [first, second] = await twoConnections(node)
  await using _first = first
  await using _second = second
  await first.sql('PRAGMA busy_timeout = 0')
  let longest = 0
  const watch = setInterval(() => (longest = Math.max(longest, node.walBytes(DATABASE))), 20)
  // Read until the writer is done.
  const state = { done: false }
  const reading = (async () => {
    let reads = 0
    for (; !state.done; reads++) await second.sql('SELECT count(*), total(n) FROM pages')
    return reads
  })()
  await first.write('first', 3_000).finally(() => {
    state.done = true
    clearInterval(watch)
  })
  expect(await reading).toBeGreaterThan(0)
  expect(longest).toBeLessThan(MAX_WAL_BYTES)
  expect(node.walSequence(DATABASE)).toBeGreaterThan(0)
  expect((await node.status(DATABASE))?.checkpoint?.count).toBeGreaterThan(0)
  await nothingLost(second, { first: 3_000 })
  await first.close()
  await second.close()
  await until('the WAL to go with the last connection', 60_000, () => !node.hasWal(DATABASE))
  await node.stopAndCompare(DATABASE)
  expect(node.log).not.toMatch(COMPLAINTS)
})
