import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { KEY_PREFIX, QUEUE_NAMES, type QueueName } from '../../workers/queues.ts'
import { BackgroundCommand } from '../harness/background.ts'
import { SEED } from '../harness/effort.ts'
import { RedisServer } from '../harness/redis-server.ts'
import { until } from '../harness/wait.ts'
import { Fleet } from './fleet.ts'

/** Whoever can write to Redis puts jobs there as they like, without ltxd. */

if (findTool('redis-server') === undefined && process.env.CI === 'true')
  throw new Error('redis-server is not installed')

const LONG = 'x'.repeat(2_000_000)
/** Longer than any line of the log that a payload or a job can cause. */
const MAX_LINE = 4096

describe.skipIf(findTool('redis-server') === undefined)(`hostile jobs (LTXD_SEED=${SEED})`, () => {
  let dir: string
  let out: string
  let outside: string
  let backup: string
  let redis: RedisServer
  let client: Redis
  let worker: BackgroundCommand
  let server: ReturnType<typeof createServer>
  let requests = 0
  let queues: Record<QueueName, Queue>
  let fleet: Fleet

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'ltxd-hostile-'))
    out = join(dir, 'out')
    outside = join(dir, 'outside')
    for (const path of [out, outside, join(outside, 'store')]) mkdirSync(path)
    symlinkSync(outside, join(out, 'link'))
    symlinkSync(join(outside, 'target.db'), join(out, 'file-link.db'))
    backup = `file://${dir}/backup`
    fleet = new Fleet(openObjectStore(backup), 1, SEED)
    for (let round = 0; round < 2; round++) await fleet.round(() => 2)
    // A backup outside, which no worker is given.
    await new Fleet(openObjectStore(`file://${dir}/private`), 1, SEED).round(() => 2)
    server = createServer((_, response) => {
      requests++
      response.end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    redis = await RedisServer.start()
    client = redis.client()
    const queue = (name: QueueName) => new Queue(name, { connection: client, prefix: KEY_PREFIX })
    queues = Object.fromEntries(QUEUE_NAMES.map((name) => [name, queue(name)])) as typeof queues
    const args = ['--redis', redis.url, '--store', `main=${backup}`, '--output-dir', out, '--log-level', 'trace']
    const credentials = { AWS_ACCESS_KEY_ID: 'canary-id', AWS_SECRET_ACCESS_KEY: 'canary-secret', AWS_REGION: 'x' }
    worker = new BackgroundCommand(['worker', ...args], join(dir, 'log'), credentials, dir)
    await worker.said(/worker ready/)
  })

  afterAll(async () => {
    await worker.stop('SIGKILL')
    for (const queue of Object.values(queues)) await queue.close()
    client.disconnect()
    await redis.stop()
    await new Promise((resolve) => server.close(resolve))
    await rm(dir, { recursive: true, force: true })
  })

  const database = () => fleet.databases[0]!.database
  const restore = (more: object) => ({ backup, database: database(), output: { key: '@restored/x.db' }, ...more })
  const endpoint = () => `http://127.0.0.1:${(server.address() as { port: number }).port}`

  async function outcome(queue: QueueName, data: unknown, options: object = {}) {
    const { id = '' } = await queues[queue].add('x', data, { attempts: 3, ...options })
    const state = () => queues[queue].getJobState(id)
    await until(`end of job ${id}`, 60_000, async () => ['completed', 'failed'].includes(await state()))
    return (await queues[queue].getJob(id))!
  }

  test('are rejected at once, say why in a line, and touch nothing', async () => {
    const jobs: [QueueName, unknown, RegExp][] = [
      ...[
        `file://${outside}/store`,
        `file://${dir}/backup/../outside/store`,
        `file://${dir}/backup/%2e%2e/outside/store`,
        `file://${dir}/backup%2f..%2foutside`,
        `file://${dir}/Backup`,
        `file://${dir}/backup/${'a.db'}`,
        `file://me:hunter2@localhost${dir}/backup`,
        `s3://bucket/p?endpoint=${endpoint()}&region=x`,
        `s3://bucket/p?region=x&endpoint=${encodeURIComponent(endpoint())}`,
        `s3://me:hunter2@bucket/p?endpoint=${endpoint()}`,
        `http://127.0.0.1/`,
        'private',
        '../private',
        '__proto__',
        LONG,
      ].flatMap((store): [QueueName, unknown, RegExp][] => [
        ['restore', restore({ output: { key: 'x.db', store } }), /^JOB_INVALID: /],
        ['restore', restore({ backup: store, output: { path: 'x.db' } }), /^JOB_INVALID: /],
        ['compact', { backup: store, database: database(), level: 1 }, /^JOB_INVALID: /],
        ['snapshot', { backup: store, database: database() }, /^JOB_INVALID: /],
        [
          'retain',
          { backup: store, database: database(), snapshotRetentionMs: 0, level0RetentionMs: 0 },
          /^JOB_INVALID: /,
        ],
      ]),
      ['restore', restore({ backup: `file://${dir}/private` }), /--store NAME=file:\/\/.*\/private, or/],
      ['restore', restore({ backup: 'nightly' }), /--store nightly=URL, or/],
      ['restore', restore({ output: { path: 'link/through.db' } }), /^NAME_IS_LINK: /],
      ['restore', restore({ output: { path: 'file-link.db' } }), /^NAME_IS_LINK: /],
      ...['/etc/x', '../x', 'a/../../x', 'link/../../x', '.', 'x\0', 'a.db-wal', LONG].map(
        (path): [QueueName, unknown, RegExp] => ['restore', restore({ output: { path } }), /^JOB_INVALID: .*output/],
      ),
      ...[
        `${database()}/ltx/0/0000000000000001-0000000000ffffff.ltx`,
        `${database()}/0009/0000000000000001-0000000000ffffff.ltx`,
        `${database()}/markers/0000000000000009-dropped.json`,
        'x/diverged/y',
        '.ltxd-lock',
        '../x',
        '/x',
        LONG,
      ].map((key): [QueueName, unknown, RegExp] => ['restore', restore({ output: { key } }), /^JOB_INVALID: .*output/]),
      ...['orders.db', 'restored/orders.db', database(), `${database()}/x`].map((key): [QueueName, unknown, RegExp] => [
        'restore',
        restore({ output: { key } }),
        /^OUTPUT_KEY_INVALID: .*could be the name of a database/,
      ]),
      ...['../x', '/x', '', 'x\n', LONG].map((name): [QueueName, unknown, RegExp] => [
        'snapshot',
        { backup, database: name },
        /^JOB_INVALID: .*database/,
      ]),
      ...[10 ** 9, 10 ** 300, -1, 1.5, '1', null, LONG].map((level): [QueueName, unknown, RegExp] => [
        'compact',
        { backup, database: database(), level },
        /^JOB_INVALID: .*level/,
      ]),
      ...[null, 1, LONG, [], [LONG], { [LONG]: 1 }, { __proto__: null, constructor: LONG }].map(
        (data): [QueueName, unknown, RegExp] => ['snapshot', data, /^JOB_INVALID: /],
      ),
    ]
    const before = tree(dir)
    const done = await Promise.all(jobs.map(([queue, data]) => outcome(queue, data)))
    for (const [i, job] of done.entries()) {
      const [queue, data, reason] = jobs[i]!
      const shown = `${queue} ${JSON.stringify(data)?.slice(0, 300)}`
      expect(job.failedReason, shown).toMatch(reason)
      expect(job.failedReason, shown).not.toMatch(/hunter2|canary/)
      expect(job.failedReason.length, shown).toBeLessThan(MAX_LINE)
      expect(job.attemptsMade, shown).toBe(1)
    }
    expect(tree(dir)).toEqual(before)
    expect(requests).toBe(0)
  }, 180_000)

  test('that are too long to be read fail once, for good, and the others are done', async () => {
    const good = { backup: 'main', database: database() }
    const long = { ...good, more: 'x'.repeat(40_000_000) }
    const added = await queues.snapshot.add('x', long, { attempts: 3 })
    const fields = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`field-${i}`, 'x'.repeat(1_000_000)]))
    await client.hset(`${KEY_PREFIX}:snapshot:many-fields`, {
      name: 'x',
      opts: '{}',
      data: JSON.stringify(good),
      ...fields,
    })
    await client.lpush(`${KEY_PREFIX}:snapshot:wait`, 'many-fields')
    await client.zadd(`${KEY_PREFIX}:snapshot:marker`, 0, '0')
    const ids = [added.id ?? '', 'many-fields']
    const state = (id: string) => queues.snapshot.getJobState(id)
    await until('both have failed', 60_000, async () =>
      (await Promise.all(ids.map(state))).every((it) => it === 'failed'),
    )
    for (const id of ids) {
      const job = await queues.snapshot.getJob(id)
      expect(job).toMatchObject({
        failedReason: expect.stringMatching(/had 4\d{7} bytes, more than can be read/) as string,
      })
      expect(job?.attemptsMade).toBe(1)
    }
    expect((await outcome('snapshot', good)).failedReason).toBeUndefined()
    const lost = worker.output().match(/Redis cannot be reached/g) ?? []
    expect(lost.length).toBeLessThanOrEqual(ids.length)
  }, 180_000)

  test('that BullMQ itself could not have made neither end the worker nor fill its log', async () => {
    const good = { backup: 'main', database: database() }
    await outcome('snapshot', good, { jobId: `id-${LONG}` })
    await outcome('snapshot', { backup: 'other', database: database() }, { jobId: `\x1b[31m-${LONG}` })
    await outcome('snapshot', { backup: 'other', database: database() }, { backoff: { type: LONG }, attempts: 1e9 })
    const raw = async (id: string, fields: Record<string, string>) => {
      const key = `${KEY_PREFIX}:snapshot:${id}`
      await client.hset(key, {
        name: 'x',
        opts: '{}',
        timestamp: '0',
        delay: '0',
        priority: '0',
        data: '{}',
        ...fields,
      })
      await client.lpush(`${KEY_PREFIX}:snapshot:wait`, id)
      await client.zadd(`${KEY_PREFIX}:snapshot:marker`, 0, '0')
    }
    await raw('no-json', { data: LONG })
    await raw('no-options', { opts: LONG, data: JSON.stringify(good) })
    await raw('odd-options', { opts: '[1]', data: JSON.stringify(good) })
    await raw('odd-name', { name: LONG, data: JSON.stringify({ ...good, database: LONG }) })
    await raw('odd-parent', { parent: LONG, data: JSON.stringify(good) })
    await raw('odd-schedule', { rjk: LONG, data: JSON.stringify(good) })
    const job = await outcome('restore', restore({ output: { path: 'good.db' } }))
    expect(job.failedReason).toBeUndefined()
    expect(
      readFileSync(join(out, 'good.db')).equals(fleet.databases[0]!.states.get(fleet.databases[0]!.position().txid)!),
    ).toBe(true)
    expect((await outcome('snapshot', good)).failedReason).toBeUndefined()
    expect(await worker.stop()).toBe(0)
    for (const line of worker.output().split('\n')) expect(line.length, line.slice(0, 500)).toBeLessThan(MAX_LINE)
    // eslint-disable-next-line no-control-regex -- an escape sequence must not reach the terminal
    expect(worker.output()).not.toMatch(/\u001b|hunter2|canary-/)
  }, 180_000)
})

/** What lies below the directory, but for the log. */
function tree(dir: string): string[] {
  return (readdirSync(dir, { recursive: true }) as string[]).filter((name) => name !== 'log').sort()
}
