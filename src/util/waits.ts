import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** Any number may wait on its signal at once. By default Node warns of more than ten, as of a leak. */
export function controllerForMany(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

/** Resolves when `signal` is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** The promise's outcome, or the rejection with the reason of `signal`, if any, whichever comes first. */
export async function unlessAborted<T>(signal: AbortSignal | undefined, promise: Promise<T>): Promise<T> {
  if (signal === undefined) return promise
  // Nobody waits for it any more: that it fails, too, must not end the process.
  if (signal.aborted) promise.catch(() => undefined)
  signal.throwIfAborted()
  let abort: () => void = () => undefined
  const rejected = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', abort)
  })
  try {
    return await Promise.race([promise, rejected])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/**
 * The items of a source. Waiting for the next one ends with the signal; the source is told that no more are wanted, and
 * is left to end by itself.
 */
export async function* itemsUnlessAborted<T>(
  signal: AbortSignal | undefined,
  source: AsyncIterable<T>,
): AsyncGenerator<T, void> {
  const items = source[Symbol.asyncIterator]()
  let isWaiting = false
  let hasEnded = false
  try {
    for (;;) {
      signal?.throwIfAborted()
      isWaiting = true
      const next = await unlessAborted(signal, items.next())
      isWaiting = false
      hasEnded = next.done === true
      if (next.done === true) return
      yield next.value
    }
  } finally {
    const left = hasEnded ? undefined : Promise.resolve(items.return?.()).catch(() => undefined)
    if (!isWaiting) await left
  }
}

const SLICES = 10

/**
 * Resolves after so much time in which this process could run, or when `signal` is aborted: one that was itself
 * suspended does not take what it has not read yet for silence. Keeps no process alive.
 */
export async function sleepAwake(ms: number, signal: AbortSignal): Promise<void> {
  for (let i = 0; i < SLICES && !signal.aborted; i++) {
    await sleep(ms / SLICES, undefined, { signal, ref: false }).catch(() => undefined)
  }
}

/** Resolves when the promise does, or after the time, which may be infinite. */
export async function before(promise: Promise<void>, timeoutMs: number): Promise<void> {
  if (timeoutMs === Infinity) return promise
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)))
  try {
    await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
