/** Checks a worker and a scheduler of this build against queues that an earlier version filled. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { z } from 'zod'
import { enqueue } from '../../workers/enqueue.ts'
import { KEY_PREFIX, QUEUE_NAMES } from '../../workers/queues.ts'
import { ltxd } from '../cli/run.ts'
import { BackgroundCommand } from '../harness/background.ts'
import { RedisServer } from '../harness/redis-server.ts'
import type { S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { readBucket } from './bucket.ts'
import { contentsOf } from './contents.ts'
import { type Fixture, type JobFacts, readCommands } from './fixture.ts'
import { isValid } from './lives.ts'
import { writeKeys } from './redis-keys.ts'
import { DEADLINE_MS } from './station.ts'

type Queues = ReadonlyMap<string, Queue>

interface Ordered {
  readonly queue: string
  readonly id: string
}

const listing = z.object({ files: z.array(z.object({ level: z.int(), max: z.string() })) })
const template = z.object({ database: z.string(), level: z.int().optional(), level0RetentionMs: z.int().optional() })
const PENDING: ReadonlySet<string> = new Set(['waiting', 'delayed', 'active'])

/** Needs the fixture's bucket in the server, and the environment of `environmentOf`. */
export async function checkQueue(fixture: Fixture, server: S3Server, dir: string): Promise<void> {
  const { queue } = fixture.manifest
  const redis = await RedisServer.start()
  const client = redis.client()
  const queues = new Map(QUEUE_NAMES.map((name) => [name, new Queue(name, { connection: client, prefix: KEY_PREFIX })]))
  const commands: BackgroundCommand[] = []
  const start = (...args: string[]) => {
    const command = new BackgroundCommand([...args, '--redis', redis.url], join(dir, `${args[0]}.log`), {}, dir)
    commands.push(command)
    return command
  }
  mkdirSync(join(dir, 'output'), { recursive: true })
  try {
    await writeKeys(client, readCommands(fixture))
    const ordered = [...queue.jobs, ...(await due(queues))]
    // Jobs name the bucket by its URL, with its parameters in another order.
    const url = fixture.manifest.bucket.url.replace(/\?(.*)&(.*)$/, '?$2&$1')
    expect(url).not.toBe(fixture.manifest.bucket.url)
    const worker = start('worker', '--store', `bucket=${url}`, '--output-dir', join(dir, 'output'))
    await done(queues, ordered, worker)
    await restored(fixture, server, dir)
    await tidied(fixture)
    await isValid(fixture.manifest.bucket.url)
    await reconciled(fixture, queues, start, dir)
    await askedAgain(fixture, queues, client, worker)
    for (const command of commands) expect(await command.stop('SIGTERM', DEADLINE_MS)).toBe(0)
  } finally {
    for (const command of commands) command.send('SIGKILL')
    for (const name of queues.values()) await name.close()
    client.disconnect()
    await redis.stop()
  }
}

/** Scheduled jobs that are due: all of them, unless this machine's clock is behind the clock of the fixture's. */
async function due(queues: Queues): Promise<Ordered[]> {
  const found: Ordered[] = []
  for (const [queue, it] of queues) {
    for (const { id = '', timestamp, delay } of await it.getDelayed()) {
      if (timestamp + delay <= Date.now()) found.push({ queue, id })
    }
  }
  return found
}

async function done(queues: Queues, ordered: readonly Ordered[], worker: BackgroundCommand): Promise<void> {
  let open: string[] = []
  try {
    await until('the jobs of before', DEADLINE_MS, async () => {
      const states = await Promise.all(ordered.map(async ({ queue, id }) => queues.get(queue)?.getJobState(id)))
      open = ordered.flatMap(({ queue, id }, i) => (states[i] === 'completed' ? [] : [`${queue} ${id}: ${states[i]}`]))
      return open.length === 0
    })
  } catch (error) {
    throw new Error(`${String(error)}\n${open.join('\n')}\n${worker.output()}`, { cause: error })
  }
}

async function restored({ manifest }: Fixture, server: S3Server, dir: string): Promise<void> {
  const objects = await readBucket(server, manifest.bucket.name)
  const fileOf = ({ path, key = '' }: NonNullable<JobFacts['restores']>): string => {
    if (path !== undefined) return join(dir, 'output', path)
    const object = objects.find((item) => item.key.endsWith(`/${key}`))
    expect(object, key).toBeDefined()
    const file = join(dir, key.replaceAll('/', '-'))
    writeFileSync(file, object?.body ?? '')
    return file
  }
  const all = manifest.queue.jobs.flatMap(({ restores }) => restores ?? [])
  expect(all.length).toBeGreaterThan(0)
  for (const job of all) expect(contentsOf(fileOf(job))).toEqual({ rows: job.rows, sha256: job.sha256 })
}

/** The compaction and the snapshot include the newest transaction. */
async function tidied({ manifest: { bucket } }: Fixture): Promise<void> {
  const [{ name, txid } = { name: '', txid: '' }] = bucket.databases
  const { stdout } = await ltxd(['backup', 'list', bucket.url, name, '--json'])
  const { files } = listing.parse(JSON.parse(stdout))
  for (const level of [1, 2, 3, 9]) {
    const newest = files
      .filter((file) => file.level === level)
      .map(({ max }) => max)
      .sort()
      .at(-1)
    expect(newest, `level ${level}`).toBe(txid)
  }
}

/** A scheduler with another configuration changes every schedule, duplicates none, and leaves each a next job. */
async function reconciled(
  { manifest: { bucket, queue } }: Fixture,
  queues: Queues,
  start: (...args: string[]) => BackgroundCommand,
  dir: string,
): Promise<void> {
  const before = await schedulesOf(queues)
  expect(before.map(({ key }) => key).sort()).toEqual(Object.values(queue.schedules).flat().sort())
  const [levels, snapshot] = [['101m', '202m', '303m'], { interval: '24h', retention: '3650d' }]
  const config = { backup: { levels, snapshot, 'level0-retention': '404m' } }
  writeFileSync(join(dir, 'ltxd.yml'), JSON.stringify(config))
  const scheduler = start('scheduler', '--backup', bucket.url, '--config', join(dir, 'ltxd.yml'))
  const kinds = ['compact 1 101m', 'compact 2 202m', 'compact 3 303m', 'snapshot 0 1440m', 'retain 0 404m']
  const wanted = bucket.databases.flatMap(({ name }) => kinds.map((kind) => kind.replace(' ', ` ${name} `)))
  let now: Schedule[] = []
  try {
    await until('the schedules of the configuration', DEADLINE_MS, async () => {
      now = await schedulesOf(queues)
      return wanted.every((text) => now.some((one) => one.text === text && one.hasNext))
    })
  } catch (error) {
    throw new Error(`${String(error)}\n${now.map(({ text }) => text).join('\n')}\n${scheduler.output()}`, {
      cause: error,
    })
  }
  const works = now.map(({ work }) => work)
  expect(works).toEqual([...new Set(works)])
}

interface Schedule {
  readonly key: string
  /** The queue, the database and the level. */
  readonly work: string
  /** The same, and the interval, or the retention of level 0 where that is what is configured. */
  readonly text: string
  readonly hasNext: boolean
}

async function schedulesOf(queues: Queues): Promise<Schedule[]> {
  const found: Schedule[] = []
  for (const [name, it] of queues) {
    for (const { key, every = 0, template: { data } = {}, next = 0 } of await it.getJobSchedulers()) {
      const { database, level = 0, level0RetentionMs } = template.parse(data)
      const work = `${name} ${database} ${level}`
      const state = await it.getJobState(`repeat:${key}:${next}`)
      found.push({ key, work, text: `${work} ${(level0RetentionMs ?? every) / 60_000}m`, hasNext: PENDING.has(state) })
    }
  }
  return found
}

/** The deduplication of a finished job does not swallow the next one. */
async function askedAgain(
  { manifest: { bucket, queue } }: Fixture,
  queues: Queues,
  redis: Redis,
  worker: BackgroundCommand,
): Promise<void> {
  const [{ name: database } = { name: '' }] = bucket.databases
  const { id = '' } = await enqueue(redis, 'compact', { backup: bucket.url, database, level: 3 })
  expect(queue.jobs.filter((job) => job.queue === 'compact').map((job) => job.id)).not.toContain(id)
  await done(queues, [{ queue: 'compact', id }], worker)
}
