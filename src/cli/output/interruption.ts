import { LtxdError } from '../../util/errors.ts'

/** Runs `work` with a signal that SIGINT or SIGTERM aborts, so that it can remove its unfinished files. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupt = (name: NodeJS.Signals) => {
    controller.abort(new LtxdError('INTERRUPTED', `interrupted by ${name}: unfinished files have been removed`))
  }
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  try {
    return await work(controller.signal)
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error
  } finally {
    process.removeListener('SIGINT', interrupt)
    process.removeListener('SIGTERM', interrupt)
  }
}
