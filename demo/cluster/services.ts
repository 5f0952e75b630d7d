import { findTool, useBuiltTools } from '../../infra/test-tools.ts'
import { ConsulServer } from '../../test/harness/consul-server.ts'
import { RedisServer } from '../../test/harness/redis-server.ts'
import { S3Server } from '../../test/harness/s3-server.ts'
import type { Stage } from '../stage.ts'

/** What the nodes and the worker lean on: real servers, each a process of its own on this machine. */
export interface Services {
  readonly consul: ConsulServer
  readonly redis: RedisServer
  /** The address of the backup, in a bucket of the S3 server. */
  readonly backup: string
}

const NEEDED = ['consul', 'redis-server', 'versitygw'] as const

/** Starts them side by side. Throws when a program is missing, naming it and what brings it. */
export async function startServices({ story, cleanup }: Stage): Promise<Services> {
  useBuiltTools()
  const missing = NEEDED.filter((tool) => findTool(tool) === undefined)
  if (missing.length > 0) {
    throw new Error(`not found: ${missing.join(', ')}. They come with: bash infra/setup.sh --test-tools`)
  }
  story.chapter('Consul, Redis and an S3 server start')
  const started = <T extends { stop(): Promise<void> }>(what: string, start: () => Promise<T>) =>
    cleanup.own(what, start, async (starting) => (await starting.catch(() => undefined))?.stop())
  const [consul, redis, s3] = await Promise.all([
    started('Consul', () => ConsulServer.start()),
    started('Redis', () => RedisServer.start()),
    started('the S3 server', () => S3Server.start('versitygw')),
  ])
  // As on any machine that may use the bucket: nodes, worker and commands find the keys in their environment.
  Object.assign(process.env, s3.environment)
  const backup = await s3.freshUrl('exchange')
  story.tell(`Consul at ${consul.url}, Redis at ${redis.url}, versitygw at ${s3.endpoint}`)
  return { consul, redis, backup }
}
