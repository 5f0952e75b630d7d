/** The mounts of this process's namespace, from /proc/self/mountinfo (proc(5)). */

import fs from 'node:fs'

export interface MountEntry {
  /** The mount's number, which may be used again after it is gone. */
  readonly id: string
  /** `major:minor` of the file system. */
  readonly device: string
  readonly mountPoint: string
  /** With subtype: `fuse.ltxd`. */
  readonly type: string
  readonly source: string
  readonly options: readonly string[]
}

export function readMounts(): MountEntry[] {
  return parseMountinfo(fs.readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** The topmost mount at `directory`, an absolute real path; undefined when it is not a mount point. */
export function mountAt(directory: string, mounts: readonly MountEntry[] = readMounts()): MountEntry | undefined {
  return mounts.findLast((mount) => mount.mountPoint === directory)
}

/** `major:minor` of the file system that a file is on, as in mountinfo. Asks that file system. */
export function deviceOf(file: string): string {
  const { dev } = fs.statSync(file, { bigint: true })
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn)
  return `${major}:${minor}`
}

/** Lines are `id parent major:minor root mountPoint options [optional…] - type source superOptions`. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = []
  for (const line of text.split('\n')) {
    const fields = line.split(' ')
    const separator = fields.indexOf('-', 6)
    const id = fields[0]
    const device = fields[2]
    const mountPoint = fields[4]
    const type = fields[separator + 1]
    const source = fields[separator + 2]
    if (separator < 0 || id === undefined || device === undefined || mountPoint === undefined) continue
    if (type === undefined || source === undefined) continue
    entries.push({
      id,
      device,
      mountPoint: unescapeField(mountPoint),
      type,
      source: unescapeField(source),
      options: [...(fields[5]?.split(',') ?? []), ...(fields[separator + 3]?.split(',') ?? [])],
    })
  }
  return entries
}

/** The kernel writes space, tab, newline and backslash as octal escapes of bytes. */
function unescapeField(field: string): string {
  if (!field.includes('\\')) return field
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))
}
