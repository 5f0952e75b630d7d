import { LIMITS } from '../config/limits.ts'
import type { Logger } from '../util/log.ts'
import { sleepAwake } from '../util/waits.ts'

/**
 * A client that takes nothing of what was received for so long hangs, when the node stops. So does one that neither
 * answers nor reads or writes a file: while it opens the databases, while the node takes over, and while it follows.
 */
export const HUNG_MS = {
  following: 30_000,
  stopping: 5_000,
  opening: Math.min(30_000, LIMITS.clientMs),
  leading: LIMITS.clientMs,
} as const

/** The local client. */
export interface Working {
  kill(): void
  /** What it has read and written; the same twice: nothing in between. A long rollback answers nothing, and works. */
  work(): string | undefined
  readonly logger: Logger
}

export interface Asked extends Working {
  answers(withinMs: number): Promise<boolean>
}

/** How often it is asked in the time that it has for an answer. */
const QUESTIONS = 10

/**
 * Waits for what waits for the local client. When that takes too long, the client is ended, and the wait with it.
 * `patient`: not while it reads or writes.
 */
export async function unlessHung(
  client: Working,
  withinMs: number,
  leaving: Promise<void> | undefined,
  patient = false,
): Promise<void> {
  const over = new AbortController()
  void endIfLate(over.signal, client, withinMs, patient)
  try {
    await leaving
  } finally {
    over.abort()
  }
}

async function endIfLate(over: AbortSignal, client: Working, withinMs: number, patient: boolean): Promise<void> {
  let before: string | undefined
  do {
    before = client.work()
    await sleepAwake(withinMs, over)
    if (over.aborted) return
  } while (patient && client.work() !== before)
  client.logger.error({ withinMs }, 'the local client takes nothing: ending it')
  client.kill()
}

/**
 * The outcome of work that waits for the local client, however long that takes. A client that does not answer
 * meanwhile, and does nothing, is ended, and the work with it.
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
    await sleepAwake(withinMs / QUESTIONS, over)
    if (over.aborted) return
    const before = client.work()
    if ((await client.answers(withinMs)) || over.aborted || client.work() !== before) continue
    client.logger.error({ withinMs }, 'the local client does not answer: ending it')
    client.kill()
  }
}
