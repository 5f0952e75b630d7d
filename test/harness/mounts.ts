import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'

/**
 * What is mounted, from the kernel's table alone. Never a stat of the mount point: one on a dead or hung mount
 * would fail or hang the caller.
 */

const run = promisify(execFile)

/** `directory` must be absolute and free of symbolic links. */
export function isMounted(directory: string): boolean {
  return mountPoints().includes(directory)
}

/** What statfs(2) calls a FUSE file system, in hexadecimal. */
const FUSE_MAGIC = '65735546'

/**
 * Whether a live FUSE server answers at the mount point. Asks with statfs, which no kernel cache answers (a stat of a
 * dead mount can succeed), and in another process, which can be killed if no answer comes. The type counts: the
 * directory below may be what answers, between a dead mount and the next.
 */
export async function answers(directory: string): Promise<boolean> {
  if (!isMounted(directory)) return false
  try {
    const { stdout } = await run('stat', ['-f', '-c', '%t', directory], { timeout: 30_000, killSignal: 'SIGKILL' })
    return stdout.trim() === FUSE_MAGIC
  } catch {
    return false
  }
}

/** Every mount point at or below `directory`, the deepest first. */
export function mountsBelow(directory: string): string[] {
  return mountPoints()
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .reverse()
}

/** Detaches whatever is mounted at `directory`, also when its server is gone. No error when nothing is. */
export async function detach(directory: string): Promise<void> {
  while (isMounted(directory)) {
    const [program, args] = process.geteuid?.() === 0 ? ['umount', ['-l']] : ['fusermount3', ['-u', '-z']]
    await run(program, [...args, directory], { timeout: 60_000, killSignal: 'SIGKILL' })
  }
}

function mountPoints(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => unescapeOctal(line.split(' ')[4] ?? ''))
}

/** The kernel writes space, tab, newline and backslash as `\ooo`. */
function unescapeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))
}
