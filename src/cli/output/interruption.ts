import { LtxdError } from '../../util/errors.ts'

/** A signal that is aborted by SIGINT or SIGTERM, so that work in progress can clean up after itself. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupt = (name: NodeJS.Signals) => {
    controller.abort(new LtxdError('INTERRUPTED', `interrupted by ${name}; nothing was left behind`))
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
