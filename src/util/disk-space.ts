import { realpath, statfs } from 'node:fs/promises'
import { LtxdError } from './errors.ts'

/** What is left for other files of the same file system. */
const RESERVE_BYTES = 16 * 1024 * 1024

/** A file would fill its disk. */
export class DiskSpaceError extends LtxdError {
  constructor(what: string, directory: string, neededBytes: number, freeBytes: number) {
    super(
      'DISK_SPACE',
      `${what} needs ${neededBytes} bytes in ${directory}, where ${freeBytes} are free, and ${RESERVE_BYTES} are ` +
        'left for other files: free some space',
    )
  }
}

/** Called before `neededBytes` are written below `directory`, which exists. Throws DiskSpaceError. */
export async function assertDiskSpace(what: string, directory: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory)
  const freeBytes = bavail * bsize
  if (neededBytes + RESERVE_BYTES <= freeBytes) return
  // It may be named by a descriptor.
  throw new DiskSpaceError(what, await realpath(directory), neededBytes, freeBytes)
}
