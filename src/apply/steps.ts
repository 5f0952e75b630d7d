/**
 * Work that pauses now and then, so that other databases get their turn, and keeps its locks meanwhile. Whoever runs it
 * either continues it to its end, or the process ends.
 */
export type Steps<T> = Generator<void, T, void>

/** The work between two pauses of a large transaction, roughly. */
export const STEP_BYTES = 1 << 20

/** Runs all of it without a pause. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const next = steps.next()
    if (next.done === true) return next.value
  }
}
