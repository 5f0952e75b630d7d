import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Job, Queue, QueueEvents } from 'bullmq'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { DEFAULT_SCHEDULE } from '../../src/backup/history/levels.ts'
import { compactUpTo } from '../../src/backup/upkeep/upkeep.ts'
import { formatChecksum, formatTXID, toTXID, type TXID } from '../../src/ltx/format/types.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { systemClock } from '../../src/util/clock.ts'
import { createLogger } from '../../src/util/log.ts'
import { enqueue } from '../../workers/enqueue.ts'
import { KEY_PREFIX, type QueueName } from '../../workers/queues.ts'
import { Scheduler } from '../../workers/scheduler.ts'
import { isSuperseded } from '../../workers/superseded.ts'
import { ltxd } from '../cli/run.ts'
import { BackgroundCommand } from '../harness/background.ts'
import { SEED } from '../harness/effort.ts'
import { RedisServer } from '../harness/redis-server.ts'
import { until } from '../harness/wait.ts'
import { filesOf, flaws, Fleet } from './fleet.ts'

if (findTool('redis-server') === undefined && process.env.CI === 'true')
  throw new Error('redis-server is not installed')

describe.skipIf(findTool('redis-server') === undefined)(`jobs (LTXD_SEED=${SEED})`, () => {
  let dir: string
  let backup: string
  let redis: RedisServer
  let client: Redis
  let fleet: Fleet
  let worker: BackgroundCommand
  let logs = 0

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'ltxd-jobs-'))
    await mkdir(join(dir, 'restored'))
    backup = `file://${dir}/backup`
    fleet = new Fleet(openObjectStore(backup), 2, SEED)
    for (let round = 0; round < 4; round++) await fleet.round(() => 3)
    redis = await RedisServer.start()
    client = redis.client()
    client.on('error', () => undefined)
    const stores = ['--store', `main=${backup}`, '--store', `elsewhere=file://${dir}/elsewhere`]
    worker = start('worker', ...stores, '--lock-time', '2s', '--output-dir', join(dir, 'restored'))
    await worker.said(/worker ready/)
  })

  afterAll(async () => {
    await worker.stop('SIGKILL')
    client.disconnect()
    await redis.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const run = (...args: string[]) => new BackgroundCommand(args, join(dir, `log-${++logs}`), {}, dir)
  const start = (...args: string[]) => run(...args, '--redis', redis.url)

  async function outcome<Q extends QueueName>(queue: Q, payload: Parameters<typeof enqueue<Q>>[2]) {
    const connection = redis.client()
    const events = new QueueEvents(queue, { connection, prefix: KEY_PREFIX })
    try {
      await events.waitUntilReady()
      const job = await enqueue(client, queue, payload)
      return await job.waitUntilFinished(events, 60_000)
    } finally {
      await events.close()
      connection.disconnect()
    }
  }

  const played = () => fleet.databases[0]!
  const database = () => played().database
  const expected = (txid: TXID) => {
    return { txid: formatTXID(txid), checksum: formatChecksum(played().checksums.get(txid)!), verified: true }
  }

  test('a restore brings back the newest state as a file, and doing it again changes nothing', async () => {
    const payload = { backup, database: database(), output: { path: 'one/a.db' } }
    const newest = played().position().txid
    expect(await outcome('restore', payload)).toMatchObject({ ...expected(newest), output: 'one/a.db' })
    const path = join(dir, 'restored/one/a.db')
    expect((await readFile(path)).equals(played().states.get(newest)!)).toBe(true)
    // Another job, with the same outcome: as if the first worker had died before it could say that it was done.
    const again = { ...payload, target: { kind: 'txid', txid: newest.toString(16) } } as const
    expect(await outcome('restore', again)).toMatchObject(expected(newest))
  })

  test('a restore brings back a moment as an object, beside the backup or elsewhere', async () => {
    const txid = toTXID(6)
    const target = { kind: 'txid', txid: '6' } as const
    const elsewhere = `file://${dir}/elsewhere`
    for (const output of [
      { key: '@restored/a.db' },
      { key: '@a.db', store: elsewhere },
      { key: '@b.db', store: 'elsewhere' },
    ]) {
      expect(await outcome('restore', { backup: 'main', database: database(), target, output })).toMatchObject(
        expected(txid),
      )
    }
    for (const path of ['backup/@restored/a.db', 'elsewhere/@a.db', 'elsewhere/@b.db']) {
      expect((await readFile(join(dir, path))).equals(played().states.get(txid)!), path).toBe(true)
    }
    expect((await ltxd(['backup', 'verify', backup], { cwd: dir })).code).toBe(0)
  })

  test('what is never going to work fails at once and says why', async () => {
    const base = { backup, database: database() }
    await writeFile(join(dir, 'restored/taken.db'), 'something else')
    await expect(outcome('restore', { ...base, output: { path: 'taken.db' } })).rejects.toThrow(
      /OUTPUT_EXISTS: .*taken\.db/,
    )
    expect(await readFile(join(dir, 'restored/taken.db'), 'utf8')).toBe('something else')
    const target = { kind: 'txid', txid: 'ffff' } as const
    await expect(outcome('restore', { ...base, target, output: { key: '@x' } })).rejects.toThrow(/TARGET_UNAVAILABLE: /)
    const nope = { backup, database: 'nope.db', output: { key: '@x' } }
    await expect(outcome('restore', nope)).rejects.toThrow(/BACKUP_NOT_FOUND: .*no backup of database nope\.db/)
    await expect(enqueue(client, 'compact', { ...base, level: 12 })).rejects.toThrow(
      /queue compact cannot be done: level/,
    )
  })

  test('asking twice for the same is asking once', async () => {
    const payload = { backup, database: database(), output: { key: '@twice.db' } }
    const [first, second] = [await enqueue(client, 'restore', payload), await enqueue(client, 'restore', payload)]
    expect(second.id).toBe(first.id)
  })

  test('a job of a schedule that comes back when a newer one has begun is dropped', async () => {
    const job = (id: string, schedule?: string) => ({ id, repeatJobKey: schedule }) as Job
    const begins = (dueMs: number) => isSuperseded(client, job(`repeat:of:a:${dueMs}`, 'of:a'))
    expect(await begins(1000)).toBe(false)
    expect(await begins(1000)).toBe(false)
    expect(await begins(3000)).toBe(false)
    expect(await begins(1000)).toBe(true)
    expect(await begins(2000)).toBe(true)
    expect(await begins(3000)).toBe(false)
    // Of another schedule, and of none.
    expect(await isSuperseded(client, job('repeat:of:b:1000', 'of:b'))).toBe(false)
    expect(await isSuperseded(client, job('1'))).toBe(false)
  })

  test('a schedule whose job is late keeps it; one that has lost it gets another', async () => {
    const DAY_MS = 24 * 3_600_000
    const schedule = {
      ...DEFAULT_SCHEDULE,
      levels: [{ level: 1, intervalMs: DAY_MS }],
      snapshotIntervalMs: DAY_MS,
      retentionCheckIntervalMs: DAY_MS,
    }
    const queue = new Queue('retain', { connection: client, prefix: KEY_PREFIX })
    /** One turn of a scheduler, at this time: how many schedules it has made. */
    const added = async (now: () => number) => {
      const lines: string[] = []
      const logger = createLogger({ level: 'debug', format: 'text', write: (line) => void lines.push(line) })
      const clock = { ...systemClock, now }
      const options = { redisUrl: redis.url, backup, schedule, discoverIntervalMs: DAY_MS, logger, clock }
      const scheduler = new Scheduler(options)
      await scheduler.start()
      const turn = () => /schedules are up to date.* added=(\d+)/.exec(lines.join(''))?.[1]
      const found = await until('a turn of the scheduler', 60_000, turn)
      await scheduler.stop(1000)
      return Number(found)
    }
    try {
      const late = () => Date.now() + 10 * DAY_MS
      expect(await added(Date.now)).toBe(6)
      expect(await added(late)).toBe(0)
      const [job] = await queue.getDelayed()
      // As a Redis that was restored from an older state has it.
      await client.zrem(`${KEY_PREFIX}:retain:delayed`, job!.id!)
      await client.del(`${KEY_PREFIX}:retain:${job!.id!}`)
      expect(await added(late)).toBe(1)
    } finally {
      await queue.close()
    }
  })

  test('levels, a snapshot and retention are asked for as often as one likes', async () => {
    const base = { backup, database: fleet.databases[1]!.database }
    expect((await outcome('compact', { ...base, level: 2 })).written).toHaveLength(2)
    expect((await outcome('compact', { ...base, level: 2 })).written).toEqual([])
    expect(await outcome('snapshot', base)).toMatchObject({ outcome: 'made' })
    expect(await outcome('snapshot', base)).toMatchObject({ outcome: 'current', written: [] })
    const retention = { ...base, snapshotRetentionMs: 0, level0RetentionMs: 0 }
    expect((await outcome('retain', retention)).deleted).toBeGreaterThan(0)
    expect((await outcome('retain', retention)).deleted).toBe(0)
  })

  test('the same work done by several at once, without any lock, is right all the same', async () => {
    const store = openObjectStore(backup)
    const name = database()
    const before = (await filesOf(store, name, 1)).length
    expect(before).toBe(0)
    const all = await Promise.all(Array.from({ length: 6 }, () => compactUpTo(openObjectStore(backup), name, 2)))
    expect(all.flat().length).toBeGreaterThanOrEqual(2)
    expect([...flaws(await filesOf(store, name, 1)), ...flaws(await filesOf(store, name, 2))]).toEqual([])
  })

  test('Redis goes away and comes back: said once each, and the work goes on', async () => {
    await redis.end()
    await worker.said(/Redis cannot be reached/)
    await redis.run()
    await worker.said(/Redis is back/)
    const payload = { backup, database: database(), output: { key: '@after.db' } }
    expect(await outcome('restore', payload)).toMatchObject(expected(played().position().txid))
    expect(worker.output().match(/Redis cannot be reached/g)).toHaveLength(1)
  })

  test('a worker and a scheduler stop cleanly, with and without a Redis', async () => {
    const others = [
      start('worker', '--store', `x=${backup}`, '--queues', 'retain'),
      start('scheduler', '--backup', backup),
    ]
    await Promise.all(others.map((command) => command.said(/ready/)))
    expect(await Promise.all(others.map((command) => command.stop('SIGINT')))).toEqual([0, 0])
    const lonely = run('worker', '--store', `x=${backup}`, '--redis', 'redis://127.0.0.1:1')
    await lonely.said(/Redis cannot be reached/)
    expect(await lonely.stop()).toBe(0)
  })

  test('a Redis that would throw jobs away is refused', async () => {
    const forgetful = await RedisServer.start('--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru')
    try {
      const refused = await ltxd(['worker', '--store', `x=${backup}`, '--redis', forgetful.url], { cwd: dir })
      expect(refused).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/set maxmemory-policy noeviction/) as string,
      })
    } finally {
      await forgetful.stop()
    }
  })

  test('wrong usage is said', async () => {
    const cases: [string[], RegExp][] = [
      [['worker'], /no Redis for the queues/],
      [['worker', '--redis', 'http://x'], /--redis: redis\.url: scheme "http:" is not known/],
      [['worker', '--redis', redis.url, '--queues', 'compact,verify'], /"verify" is not one of compact, snapshot/],
      [['worker', '--redis', redis.url, '--concurrency', '0'], /expected a number from 1 to 64/],
      [
        ['worker', '--redis', redis.url],
        /no store for the jobs: give each, as in "--store NAME=URL", or set LTXD_STORES/,
      ],
      [['worker', '--redis', redis.url, '--store', backup], /--store: expected NAME=URL/],
      [['worker', '--redis', redis.url, '--store', 'x=gs://b'], /the scheme "gs:" is not supported/],
      [
        ['worker', '--redis', redis.url, '--store', 'x=file:///a', '--store', 'x=file:///b'],
        /the store x is defined twice, with different URLs/,
      ],
      [['scheduler', '--redis', redis.url], /no backup: give one/],
    ]
    for (const [args, stderr] of cases) {
      const done = await ltxd(args, { cwd: dir })
      expect(done, args.join(' ')).toMatchObject({ code: 2, stderr: expect.stringMatching(stderr) as string })
    }
  })
})
