import { WireError } from './wire.ts'

/** The result of a callback that failed. Any error except the file system's own ends the bridge. */
function failed(error: unknown): number {
  if (error instanceof WireError) return -error.errno
  throw error
}

/** Performs `action`, and replies with its value or with the file system's error. */
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

/** As `answer`, but the result itself is the value of `action`: a number of bytes. */
export function answerCount(reply: (result: number) => void, action: () => number): void {
  answer<number>((result, count = 0) => reply(result === 0 ? count : result), action)
}
