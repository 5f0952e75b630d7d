import { writeFileSync } from 'node:fs'
import type { Services } from './services.ts'

/** How long a silent primary keeps its lease: the time without a primary after its loss. */
export const TTL_MS = 3_000
/** The interval between uploads. */
export const SYNC_INTERVAL_MS = 1_000
const LEVELS_MS = [2_000, 10_000] as const

/** Writes the ltxd.yml of a node, the worker or the scheduler. */
export function writeConfiguration(file: string, name: string, { consul, redis, backup }: Services): void {
  const levels = LEVELS_MS.map((ms) => `${ms / 1000}s`).join(', ')
  writeFileSync(
    file,
    `lease:
  hostname: ${name}
  ttl: ${TTL_MS / 1000}s
  demote-delay: 1s
  consul: { url: "${consul.url}", key: exchange/primary }
backup:
  url: "${backup}"
  sync-interval: ${SYNC_INTERVAL_MS / 1000}s
  levels: [${levels}]
  compaction: workers
redis: { url: "${redis.url}" }
`,
  )
}
