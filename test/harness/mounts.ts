import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'

/**
 * The mounted file systems, from the kernel's table alone. A stat of a dead or hung mount point would fail, or hang the
 * caller.
 */

const run = promisify(execFile)

/** `directory` must be absolute and free of symbolic links. */
export function isMounted(directory: string): boolean {
  return mountPoints().includes(directory)
}

/** The type of a FUSE file system in statfs(2), in hexadecimal. */
const FUSE_MAGIC = '65735546'

/**
 * Whether a live FUSE server answers at the mount point. This uses statfs, because a stat can be answered from the
 * kernel's cache, and another process, which can be killed if no answer comes. It checks the type, because between two
 * mounts the directory below answers.
 */
export async function answers(directory: string): Promise<boolean> {
  if (!isMounted(directory)) return false
  try {
    const { stdout } = await run('stat', ['-f', '-c', '%t', directory], { timeout: 60_000, killSignal: 'SIGKILL' })
    return stdout.trim() === FUSE_MAGIC
  } catch {
    return false
  }
}

/** The mount points at or below `directory`, the deepest first. */
export function mountsBelow(directory: string): string[] {
  return mountPoints()
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .reverse()
}

/** Detaches all mounts at `directory`, even dead ones. */
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
