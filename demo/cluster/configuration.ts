import { writeFileSync } from 'node:fs'
import type { Services } from './services.ts'

/** How long a primary that falls silent keeps its lease: what its loss costs. */
export const TTL_MS = 3_000
/** How long a commit may wait before it is shipped. */
export const SYNC_INTERVAL_MS = 1_000
const LEVELS_MS = [2_000, 10_000] as const

/** The ltxd.yml of a node; worker and scheduler use those of their own name. */
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
