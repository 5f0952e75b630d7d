/** Runs something that works until it is told to stop. */

import type { Logger } from '../../util/log.ts'

export interface Service {
  /** Resolves when it works; rejects when it never will. */
  start(): Promise<void>
  /** False when something could not be brought to its end. */
  stop(): Promise<boolean>
}

/** Until SIGTERM or SIGINT, or until it cannot start; a second signal leaves at once. Returns the exit code. */
async function serve(service: Service, logger: Logger): Promise<number> {
  const stopped = new Promise<void>((resolve) => {
    let asked = false
    const stop = (signal: NodeJS.Signals) => {
      if (asked) process.exit(1)
      asked = true
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
  // Its end, while it was still waiting to begin, is none of a failure.
  started.catch(() => undefined)
  const clean = await service.stop()
  if (!clean) logger.warn({}, 'stopped before everything was done or handed back')
  else logger.info({}, 'stopped')
  return clean ? 0 : 1
}

/** Ends the process, whatever connection is still being tried. */
export async function serveAndExit(service: Service, logger: Logger): Promise<void> {
  process.exit(await serve(service, logger))
}
