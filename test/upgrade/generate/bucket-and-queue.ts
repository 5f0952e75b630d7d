/** A node's bucket, and the queues with the jobs that maintain it. */

import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { BackgroundCommand } from '../../harness/background.ts'
import { RedisServer } from '../../harness/redis-server.ts'
import { S3Server } from '../../harness/s3-server.ts'
import { until } from '../../harness/wait.ts'
import { environmentOf, readBucket } from '../bucket.ts'
import {
  type BucketFacts,
  type BucketObject,
  type DatabaseFacts,
  formatLines,
  type JobFacts,
  type QueueFacts,
} from '../fixture.ts'
import { readKeys } from '../redis-keys.ts'
import { DEADLINE_MS, Station } from '../station.ts'
import { workersLibrary } from './build.ts'
import { writeHistory } from './history.ts'

const BUCKET = 'ltxd-upgrade'
const URL_WITHOUT_ENDPOINT = `s3://${BUCKET}/some/prefix?region=us-east-1&forcePathStyle=true`
type Schedules = QueueFacts['schedules']

const LONG_MS = 3650 * 24 * 3_600_000

/** Writes `bucket.json` and `queue.json` into `dir`. */
export async function writeBucketAndQueue(dir: string): Promise<{ bucket: BucketFacts; queue: QueueFacts }> {
  const server = await S3Server.start('versitygw')
  try {
    Object.assign(process.env, environmentOf(server))
    const client = await server.client()
    await client.createBucket({ Bucket: BUCKET })
    client.destroy()
    const bucket = await writeBucket()
    const objects = await readBucket(server, BUCKET)
    const text = formatLines(objects.map(({ body, ...rest }) => ({ ...rest, body: body.toString('base64') })))
    writeFileSync(join(dir, bucket.file), text)
    return { bucket, queue: await writeQueue(dir, bucket, objects) }
  } finally {
    await server.stop()
  }
}

async function writeBucket(): Promise<BucketFacts> {
  const data = join(mkdtempSync(join(tmpdir(), 'ltxd-fixture-')), 'data')
  await using station = await Station.start({ data, backup: URL_WITHOUT_ENDPOINT })
  const written = await writeHistory(station, URL_WITHOUT_ENDPOINT)
  const databases: DatabaseFacts[] = []
  for (const chronicle of written.databases) databases.push(await chronicle.facts(URL_WITHOUT_ENDPOINT))
  await station.stop()
  return { file: 'bucket.json', url: URL_WITHOUT_ENDPOINT, name: BUCKET, databases, dropped: [...written.dropped] }
}

/** Fills the queues. No worker runs, so every job stays in them. */
async function writeQueue(dir: string, bucket: BucketFacts, objects: readonly BucketObject[]): Promise<QueueFacts> {
  const redis = await RedisServer.start()
  const client = redis.client()
  try {
    const jobs = await ask(client, bucket, objects)
    const schedules = await schedule(client, redis.url, bucket)
    const file = 'queue.json'
    writeFileSync(join(dir, file), formatLines(await readKeys(client)))
    return { file, jobs, schedules }
  } finally {
    client.disconnect()
    await redis.stop()
  }
}

/** Enqueues a job of each queue, and restores with each kind of target and output. */
async function ask(redis: Redis, { url: backup, databases }: BucketFacts, objects: readonly BucketObject[]) {
  const { enqueue } = await workersLibrary()
  const [app, nested] = [find(databases, 'app.db'), find(databases, 'tenants/a.db')]
  const [old, newest, early] = [app.moments[1], app.moments.at(-1), nested.moments[0]]
  if (old === undefined || newest === undefined || early === undefined) throw new Error('too few moments')
  const of = ({ name: database }: DatabaseFacts) => ({ backup, database })
  const txid = { kind: 'txid', txid: old.txid } as const
  const timestamp = { kind: 'timestamp', timestamp: justAfter(objects, nested.name, early.txid) } as const
  const jobs: JobFacts[] = []
  const note = async (queue: string, asked: Promise<{ id?: string }>, restores?: JobFacts['restores']) => {
    jobs.push({ queue, id: (await asked).id ?? '', ...(restores && { restores }) })
  }
  await note('compact', enqueue(redis, 'compact', { ...of(app), level: 3 }))
  await note('snapshot', enqueue(redis, 'snapshot', of(app)))
  const retention = { snapshotRetentionMs: LONG_MS, level0RetentionMs: LONG_MS }
  await note('retain', enqueue(redis, 'retain', { ...of(app), ...retention }))
  const [path, key] = ['restored/app.db', 'restores/app.db']
  await note('restore', enqueue(redis, 'restore', { ...of(app), output: { path } }), { path, ...contents(newest) })
  const ofOld = enqueue(redis, 'restore', { ...of(app), target: txid, output: { key } })
  await note('restore', ofOld, { key, ...contents(old) })
  const ofEarly = enqueue(redis, 'restore', { ...of(nested), target: timestamp, output: { path: 'early.db' } })
  await note('restore', ofEarly, { path: 'early.db', ...contents(early) })
  return jobs
}

/** A timestamp that restores exactly up to the transaction: restores take what is strictly before it. */
function justAfter(objects: readonly BucketObject[], database: string, txid: string): string {
  const object = objects.find(({ key }) => key.includes(`/${database}/`) && key.endsWith(`-${txid}.ltx`))
  const stamp = object?.metadata['litestream-timestamp']
  if (stamp === undefined) throw new Error(`no object of ${database} ends with ${txid}`)
  return new Date(Date.parse(stamp) + 1).toISOString()
}

/** Runs the scheduler until each database has its schedules: three levels, snapshots, retention. */
async function schedule(redis: Redis, redisUrl: string, { url, databases }: BucketFacts): Promise<Schedules> {
  const dir = mkdtempSync(join(tmpdir(), 'ltxd-scheduler-'))
  writeFileSync(
    join(dir, 'ltxd.yml'),
    'backup: { levels: [1s, 2s, 3s], level0-retention: 3650d, snapshot: { interval: 1s, retention: 3650d } }\n',
  )
  const args = ['scheduler', '--redis', redisUrl, '--backup', url, '--config', join(dir, 'ltxd.yml')]
  const scheduler = new BackgroundCommand(args, join(dir, 'log'))
  try {
    await until('the schedules', DEADLINE_MS, async () => {
      const names = Object.values(await schedulesIn(redis)).flat()
      return databases.every(({ name }) => names.filter((id) => id.includes(`.${name}.`)).length === 5)
    })
  } finally {
    await scheduler.stop()
  }
  return schedulesIn(redis)
}

async function schedulesIn(redis: Redis): Promise<Schedules> {
  const { KEY_PREFIX: prefix, QUEUE_NAMES } = await workersLibrary()
  const schedules: Record<string, string[]> = {}
  for (const name of QUEUE_NAMES) {
    const queue = new Queue(name, { connection: redis, prefix })
    const found = (await queue.getJobSchedulers()).map(({ key }) => key)
    await queue.close()
    if (found.length > 0) schedules[name] = found.sort()
  }
  return schedules
}

function find(databases: readonly DatabaseFacts[], name: string): DatabaseFacts {
  const found = databases.find((database) => database.name === name)
  if (found === undefined) throw new Error(`the bucket has no ${name}`)
  return found
}

function contents({ rows, sha256 }: DatabaseFacts['moments'][number]) {
  return { rows, sha256 }
}
