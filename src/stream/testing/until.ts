import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until `condition` is true. Throws, naming `what`, after ten seconds. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const start = performance.now(); !condition(); await sleep(2)) {
    if (performance.now() - start > 60_000) throw new Error(`${what}: not within a minute`)
  }
}
