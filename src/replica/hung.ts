import type { Logger } from '../util/log.ts'

/** A client that takes nothing of what was received for so long hangs: as long as a node follows, and when it stops. */
export const HUNG_MS = { following: 30_000, stopping: 5_000 } as const

/** Waits for what waits for the local client. When that takes too long, the client is ended, and the wait with it. */
export async function unlessHung(
  client: { kill(): void; readonly logger: Logger },
  withinMs: number,
  leaving: Promise<void> | undefined,
): Promise<void> {
  const late = setTimeout(() => {
    client.logger.error({ withinMs }, 'the local client takes nothing: ending it')
    client.kill()
  }, withinMs)
  try {
    await leaving
  } finally {
    clearTimeout(late)
  }
}
