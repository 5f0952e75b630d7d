import { type ChildProcess, spawn } from 'node:child_process'
import { helperEnvironment } from '../../util/environment.ts'
import type { OwnMount } from '../host/own-mount.ts'

/**
 * Ends a mount's connection when its node is gone, which has written nothing to stdin until then. $1 is the mount's
 * place as seen through descriptor 4, $2 the connection's number, $3 the mount's. The descriptor 3 keeps both numbers
 * from being used again. Who has no access to the connection's own file, and is root, forces an unmount, which ends the
 * connection, too.
 */
const SCRIPT = `
trap '' INT TERM HUP USR1 USR2
read -r _
echo 1 2>/dev/null >"/sys/fs/fuse/connections/$2/abort" ||
  { grep -q "^$3 " /proc/self/mountinfo && umount -i -c -f "$1"; }
`

/**
 * A process that outlives its node. While some process has the device open, the kernel waits for answers, and whoever
 * waits for one cannot be killed. A process that the node has left behind in a notification (notifier.ts) would keep
 * the device open for ever, so the connection has to be ended by somebody.
 */
export class Guardian {
  readonly #process: ChildProcess

  private constructor(process: ChildProcess) {
    this.#process = process
  }

  /** `held` is a descriptor of a file on the mount. undefined: the mount has no number of a connection. */
  static start({ entry, place }: OwnMount, held: number): Guardian | undefined {
    const connection = /^0:(\d+)$/.exec(entry.device)?.[1]
    if (connection === undefined) return undefined
    const child = spawn('sh', ['-c', SCRIPT, 'ltxd-guardian', place.seenThrough(4), connection, entry.id], {
      stdio: ['pipe', 'ignore', 'ignore', held, place.parent],
      env: helperEnvironment(),
      cwd: '/',
      detached: true,
    })
    child.on('error', () => {})
    child.stdin?.on('error', () => {})
    child.unref()
    return new Guardian(child)
  }

  /** Nobody needs it any more. Resolves when it keeps the mount busy no longer. */
  async end(): Promise<void> {
    const child = this.#process
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    child.ref()
    child.kill('SIGKILL')
    await ended
  }
}
