import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import { describe, expect, onTestFinished, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { LIMITS_VARIABLE } from '../../src/config/limits.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { enqueue } from '../../workers/enqueue.ts'
import { KEY_PREFIX } from '../../workers/queues.ts'
import { BackgroundCommand } from '../harness/background.ts'
import { SEED } from '../harness/effort.ts'
import { shorten } from '../harness/limits.ts'
import { RedisServer } from '../harness/redis-server.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { filesOf, flaws, Fleet } from './fleet.ts'

const there = findTool('redis-server') !== undefined && findS3Server('versitygw') !== undefined
if (!there && process.env.CI === 'true') throw new Error('redis-server or versitygw is not installed')

describe.skipIf(!there)(`a worker that loses its jobs (LTXD_SEED=${SEED})`, () => {
  async function scene() {
    const dir = await mkdtemp(join(tmpdir(), 'ltxd-lost-'))
    const [redis, server] = await Promise.all([RedisServer.start(), S3Server.start('versitygw')])
    Object.assign(process.env, server.environment)
    const url = await server.freshUrl()
    const client = redis.client()
    const queue = new Queue('compact', { connection: client, prefix: KEY_PREFIX })
    const started: BackgroundCommand[] = []
    onTestFinished(async () => {
      server.thaw()
      for (const command of started) await command.stop('SIGKILL')
      await queue.close()
      client.disconnect()
      await Promise.all([redis.stop(), server.stop()])
      await rm(dir, { recursive: true, force: true })
    })
    const store = openObjectStore(url)
    const fleet = new Fleet(store, 1, SEED)
    for (let round = 0; round < 3; round++) await fleet.round(() => 2)
    const { database } = fleet.databases[0]!
    const worker = async (name: string) => {
      const args = [
        'worker',
        '--redis',
        redis.url,
        '--store',
        `here=${url}`,
        '--queues',
        'compact',
        '--lock-time',
        '2s',
      ]
      const command = new BackgroundCommand(args, join(dir, name), server.environment, dir)
      started.push(command)
      await command.said(/worker ready/)
      return command
    }
    const ask = () => enqueue(client, 'compact', { backup: url, database, level: 2 })
    const inHand = () => until('the job in hand', 60_000, async () => (await queue.getActiveCount()) === 1)
    const done = () => until('the job done', 60_000, async () => (await queue.getCompletedCount()) === 1)
    return { server, store, database, worker, ask, inHand, done }
  }

  test('says so once, leaves them to others, and blames no Redis', async () => {
    const { server, store, database, worker, ask, inHand, done } = await scene()
    const first = await worker('first')
    // The job waits for the store for as long as the test wants.
    server.freeze()
    await ask()
    await inHand()
    const second = await worker('second')
    first.send('SIGSTOP')
    await second.said(/the worker of a job died or lost its lock; the job is repeated/)
    first.send('SIGCONT')
    await first.said(/locks of jobs expired/)
    server.thaw()
    await done()
    expect(await first.stop()).toBe(0)
    expect(await second.stop()).toBe(0)
    expect(first.output().match(/locks of jobs expired/g)).toHaveLength(1)
    expect(first.output() + second.output()).not.toMatch(/Redis cannot|level=error|could not renew/)
    expect([...flaws(await filesOf(store, database, 1)), ...flaws(await filesOf(store, database, 2))]).toEqual([])
  })

  test('a store that hangs holds no job: it fails, and is tried again', async () => {
    shorten({ answerMs: 4_000 })
    onTestFinished(() => void delete process.env[LIMITS_VARIABLE])
    const { server, worker, ask, inHand, done } = await scene()
    const only = await worker('only')
    server.freeze()
    await ask()
    await inHand()
    await only.said(/job failed; it is retried.*no answer within 4 s/, 60_000)
    server.thaw()
    await done()
    expect(await only.stop()).toBe(0)
  })
})
