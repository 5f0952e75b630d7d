import fs from 'node:fs'

/**
 * The kernel's locks on files of one mount, from /proc/locks. No file of the mount is opened, so the thread that serves
 * it may ask. Processes of other pid namespaces do not appear.
 */
export class FileLocks {
  readonly #device: string | undefined

  /** `major:minor` of the mount, in decimal. */
  constructor(device: string | undefined) {
    this.#device = device
  }

  /**
   * Whether a process holds an exclusive lock on the byte at `offset` of the file, or on any part of it, as a
   * transaction of SQLite does that writes.
   */
  isWriteLocked(inode: number, offset?: number): boolean {
    if (this.#device === undefined) return false
    return holdsWriteLock(fs.readFileSync('/proc/locks', 'utf8'), this.#device, inode, offset)
  }
}

/** `device` in decimal, as in mountinfo; /proc/locks has hexadecimal numbers. */
export function holdsWriteLock(locks: string, device: string, inode: number, offset?: number): boolean {
  const file = [...device.split(':').map((part) => Number(part).toString(16).padStart(2, '0')), inode].join(':')
  return locks.split('\n').some((line) => {
    const fields = line.trim().split(/\s+/)
    if (fields[1] === '->' || fields[3] !== 'WRITE' || fields[5] !== file) return false
    return offset === undefined || (Number(fields[6]) <= offset && (fields[7] === 'EOF' || offset <= Number(fields[7])))
  })
}
