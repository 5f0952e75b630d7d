import { setTimeout as sleep } from 'node:timers/promises'
import { LIMITS } from '../config/limits.ts'
import type { Logger } from '../util/log.ts'

/**
 * A client that takes nothing of what was received for so long hangs: as long as a node follows, and when it stops. So
 * does one that does not answer while it opens the databases, or while the node takes over.
 */
export const HUNG_MS = {
  following: 30_000,
  stopping: 5_000,
  opening: Math.min(30_000, LIMITS.clientMs),
  leading: LIMITS.clientMs,
} as const

/** The local client. */
export interface Ended {
  kill(): void
  readonly logger: Logger
}

export interface Asked extends Ended {
  answers(withinMs: number): Promise<boolean>
}

/** How often it is asked in the time that it has for an answer. */
const QUESTIONS = 10

/** Waits for what waits for the local client. When that takes too long, the client is ended, and the wait with it. */
export async function unlessHung(client: Ended, withinMs: number, leaving: Promise<void> | undefined): Promise<void> {
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

/**
 * The outcome of work that waits for the local client, however long that takes. A client that does not answer meanwhile
 * is ended, and the work with it.
 */
export async function unlessSilent<T>(client: Asked, withinMs: number, work: Promise<T>): Promise<T> {
  const over = new AbortController()
  void askUntil(over.signal, client, withinMs)
  try {
    return await work
  } finally {
    over.abort()
  }
}

async function askUntil(over: AbortSignal, client: Asked, withinMs: number): Promise<void> {
  while (!over.aborted) {
    await sleep(withinMs / QUESTIONS, undefined, { signal: over, ref: false }).catch(() => undefined)
    if (over.aborted || (await client.answers(withinMs)) || over.aborted) continue
    client.logger.error({ withinMs }, 'the local client does not answer: ending it')
    client.kill()
  }
}
