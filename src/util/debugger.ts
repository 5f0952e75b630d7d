/**
 * Node.js opens its debugger on SIGUSR1: a port on loopback, through which every user of the machine runs code as the
 * process's user. Somebody may well send it, to have logs rotated for example, and only root and that user can.
 */

const FLAG = '--disable-sigusr1'

/** Arguments of Node.js for another process of ltxd's: versions that know the flag ignore the signal from the start. */
export const WITHOUT_DEBUGGER: readonly string[] = process.allowedNodeEnvironmentFlags.has(FLAG) ? [FLAG] : []

/** From now on the signal does nothing. */
export function ignoreDebugSignal(): void {
  process.on('SIGUSR1', () => undefined)
}
