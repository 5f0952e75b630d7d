import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { findTool, useBuiltTools } from '../../infra/test-tools.ts'
import type { Cleanup } from '../../test/harness/cleanup.ts'
import { S3Server } from '../../test/harness/s3-server.ts'
import { CONTESTANTS, type Place, type Running } from './contestants.ts'
import { CountingProxy } from './counting-proxy.ts'
import { type Line, type Load, LOADS } from './report.ts'
import { HOURS_A_MONTH, scaled } from './requests.ts'

export interface CostOptions {
  readonly base: string
  readonly minutes: number
  readonly progress: (text: string) => void
}

const WRITER = fileURLToPath(new URL('writer.ts', import.meta.url))
const SYNC_INTERVALS = ['1s', '10s'] as const
/** After the start: the first snapshot, the first file of level 1. */
const WARM_UP_MS = 45_000

/** Counts the requests of each load, all of them side by side. Needs versitygw (`bash infra/setup.sh --test-tools`). */
export async function runCost(options: CostOptions, cleanup: Cleanup): Promise<Line[]> {
  useBuiltTools()
  const server = await S3Server.start('versitygw')
  cleanup.defer('stop versitygw', () => server.stop())
  Object.assign(process.env, server.environment)
  const litestream = findTool('litestream')
  const contestants: [string, (place: Place) => Promise<Running>][] = [['ltxd', CONTESTANTS.ltxd]]
  if (litestream !== undefined) contestants.push(['Litestream', CONTESTANTS.litestream(litestream)])
  const lines: Line[] = []
  for (const syncInterval of SYNC_INTERVALS) {
    for (const [contestant, start] of contestants) {
      const measured = LOADS.map(async (load) => {
        const proxy = await CountingProxy.start(server.port)
        cleanup.defer('stop a proxy', () => proxy.stop())
        const directory = join(options.base, `${contestant}-${syncInterval}-${load.id}`)
        mkdirSync(directory)
        const backup = (await server.freshUrl('backup')).replaceAll(`:${server.port}`, `:${proxy.port}`)
        const running = await start({ directory, backup, databases: load.databases, syncInterval })
        cleanup.defer(`stop ${contestant}`, () => running.stop())
        const writer = startWriter(running, load)
        cleanup.defer('end the application', () => writer.stop())
        await writer.ready
        await running.begin()
        await sleep(WARM_UP_MS)
        proxy.take()
        await sleep(options.minutes * 60_000)
        const { requests, upBytes, downBytes } = proxy.take()
        await writer.stop()
        await running.stop()
        const perMonth = (HOURS_A_MONTH * 60) / options.minutes
        const month = scaled(requests, perMonth)
        return { load, syncInterval, contestant, month, upBytes: upBytes * perMonth, downBytes: downBytes * perMonth }
      })
      options.progress(`${contestant}, sync-interval ${syncInterval}: ${options.minutes} minutes`)
      lines.push(...(await Promise.all(measured)))
    }
  }
  return lines
}

/** An application, which is ready when it has its databases. */
function startWriter(running: Running, { databases, perSecond }: Load) {
  const args = ['--import', 'tsx', WRITER, running.directory, String(databases), String(perSecond)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const failed = ended.then(() => Promise.reject(new Error('the application ended')))
  failed.catch(() => undefined)
  return {
    ready: Promise.race([once(child.stdout, 'data'), failed]),
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
