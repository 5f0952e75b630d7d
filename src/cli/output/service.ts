/** Runs a service until a signal stops it. */

import type { Logger } from '../../util/log.ts'

export interface Service {
  /** Resolves once the service runs. Rejects if it cannot start. */
  start(): Promise<void>
  /** Resolves with false if some work was neither finished nor returned to its queue. */
  stop(): Promise<boolean>
}

/**
 * Runs the service until SIGTERM or SIGINT, and returns the exit code. Rejects if the service cannot start. A second
 * signal exits at once.
 */
async function serve(service: Service, logger: Logger): Promise<number> {
  const stopped = new Promise<void>((resolve) => {
    let isStopping = false
    const stop = (signal: NodeJS.Signals) => {
      if (isStopping) process.exit(1)
      isStopping = true
      logger.info({ signal }, 'stopping')
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
  const started = service.start()
  try {
    await Promise.race([started.then(() => stopped), stopped])
  } catch (error) {
    await service.stop()
    throw error
  }
  // A signal may stop a service that is still starting. Its start then rejects, which is not a failure.
  started.catch(() => undefined)
  const clean = await service.stop()
  if (!clean) logger.warn({}, 'stopped with jobs that were neither finished nor returned to their queue')
  else logger.info({}, 'stopped')
  return clean ? 0 : 1
}

/** Runs the service, then exits the process even if a connection attempt is still pending. */
export async function serveAndExit(service: Service, logger: Logger): Promise<void> {
  process.exit(await serve(service, logger))
}
