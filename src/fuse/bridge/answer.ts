import { WireError } from './wire.ts'

/** The number that a callback of libfuse answers with. Anything but the file system's own answer ends the bridge. */
function failed(error: unknown): number {
  if (error instanceof WireError) return -error.errno
  throw error
}

/** Carries `action` out and answers with what it returns, or with the file system's error. */
export function answer<T>(reply: (result: number, value?: T) => void, action: () => T): void {
  let value: T
  try {
    value = action()
  } catch (error) {
    reply(failed(error))
    return
  }
  reply(0, value)
}

/** The same, where the result itself is what `action` returns: a number of bytes. */
export function answerCount(reply: (result: number) => void, action: () => number): void {
  answer<number>((result, count = 0) => reply(result === 0 ? count : result), action)
}
