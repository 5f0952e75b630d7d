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
const template = z.object({ database: z.string(), level: z.int().optional() })

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
    const worker = start('worker', '--output-dir', join(dir, 'output'))
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
  writeFileSync(
    join(dir, 'ltxd.yml'),
    'backup: { levels: [1h, 2h, 3h], snapshot: { interval: 24h, retention: 3650d } }\n',
  )
  const before = await everyMsOf(queues)
  expect([...before.keys()].sort()).toEqual(Object.values(queue.schedules).flat().sort())
  const scheduler = start('scheduler', '--backup', bucket.url, '--config', join(dir, 'ltxd.yml'))
  await scheduler.said(/schedules are as wanted/, DEADLINE_MS)
  const wanted = new Set<string>()
  for (const [name, it] of queues) {
    for (const { key, template: { data } = {}, next = 0 } of await it.getJobSchedulers()) {
      const { database, level = 0 } = template.parse(data)
      expect(wanted, key).not.toContain(`${name} ${database} ${level}`)
      wanted.add(`${name} ${database} ${level}`)
      expect(['delayed', 'waiting', 'active', 'completed']).toContain(await it.getJobState(`repeat:${key}:${next}`))
    }
  }
  for (const { name } of bucket.databases) {
    const kinds = ['compact 1', 'compact 2', 'compact 3', 'snapshot 0', 'retain 0']
    for (const kind of kinds) expect(wanted).toContain(kind.replace(' ', ` ${name} `))
  }
  const after = await everyMsOf(queues)
  const still = [...after].filter(([key, everyMs]) => everyMs < 4_000 && before.get(key) === everyMs)
  expect(still).toEqual([])
}

async function everyMsOf(queues: Queues): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const it of queues.values()) for (const { key, every = 0 } of await it.getJobSchedulers()) found.set(key, every)
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
