import { readFileSync, readlinkSync } from 'node:fs'
import { findTool, useBuiltTools } from '../../infra/test-tools.ts'
import { ConsulServer } from '../../test/harness/consul-server.ts'
import { processTree, signalProcess } from '../../test/harness/processes.ts'
import { RedisServer } from '../../test/harness/redis-server.ts'
import { S3Server } from '../../test/harness/s3-server.ts'
import type { Stage } from '../stage.ts'

/** The servers that nodes and workers need: real ones, each a process on this machine. */
export interface Services {
  readonly consul: ConsulServer
  readonly redis: RedisServer
  /** The URL of the backup, in a bucket of the S3 server. */
  readonly backup: string
}

const NEEDED = ['consul', 'redis-server', 'versitygw'] as const

/** Starts the servers at the same time. Throws if a program is missing, and says how to install it. */
export async function startServices({ base, story, cleanup }: Stage): Promise<Services> {
  useBuiltTools()
  const missing = NEEDED.filter((tool) => findTool(tool) === undefined)
  if (missing.length > 0) {
    throw new Error(`not found: ${missing.join(', ')}. To install: bash infra/setup.sh --test-tools`)
  }
  story.chapter('Consul, Redis and an S3 server start')
  // All temporary files are below this directory, and are removed with it.
  process.env.TMPDIR = base
  const [consul, redis, s3] = await cleanup.own(
    'the services',
    () => Promise.all([ConsulServer.start(), RedisServer.start(), S3Server.start('versitygw')]),
    () => killBelow(base),
  )
  // Nodes, worker and commands find the credentials in their environment.
  Object.assign(process.env, s3.environment)
  const backup = await s3.freshUrl('exchange')
  story.tell(`Consul at ${consul.url}, Redis at ${redis.url}, versitygw at ${s3.endpoint}`)
  return { consul, redis, backup }
}

/** They keep nothing that anyone wants, and may be just starting: ends those whose files are below the directory. */
function killBelow(directory: string): void {
  for (const pid of processTree(process.pid).slice(1)) {
    if (tracesOf(pid).some((trace) => trace.includes(directory))) signalProcess(pid, 'SIGKILL')
  }
}

/**
 * The command line and the working directory of a process, which identify it: Redis rewrites its command line. Empty if
 * the process is gone.
 */
function tracesOf(pid: number): string[] {
  try {
    return [readFileSync(`/proc/${pid}/cmdline`, 'utf8'), readlinkSync(`/proc/${pid}/cwd`)]
  } catch {
    return []
  }
}
