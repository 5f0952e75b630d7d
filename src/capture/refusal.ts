import fs from 'node:fs'
import os from 'node:os'
import type { Caller } from '../fuse/content.ts'

const { EPERM, EIO, EBUSY } = os.constants.errno

/** Why an application's operation is refused: an errno for the application, and a line in the node's log for a person. */
export class CaptureRefusal extends Error {
  readonly errno: number

  constructor(errno: number, message: string) {
    super(message)
    this.errno = errno
  }
}

export const refusal = {
  /** The journal mode is OFF or MEMORY, or something that is not SQLite writes into a database. */
  unjournaled: (database: string, caller: Caller) =>
    new CaptureRefusal(
      EPERM,
      `${describe(caller)} wrote to database "${database}" without a journal (journal_mode OFF or MEMORY, or not SQLite): refused, nothing was changed. ` +
        'Use journal_mode WAL, DELETE, TRUNCATE or PERSIST; to replace a database, remove it first',
    ),
  unreadable: (database: string, reason: string) =>
    new CaptureRefusal(EIO, `database "${database}" is not served: ${reason}`),
  inUse: (database: string, caller: Caller) =>
    new CaptureRefusal(EBUSY, `${describe(caller)} renames database "${database}" while it is open: refused. Close it first`),
} as const

function describe({ tid }: Caller): string {
  if (tid === 0) return 'the kernel'
  try {
    return `process ${fs.readFileSync(`/proc/${tid}/comm`, 'utf8').trim()} (${tid})`
  } catch {
    return `process ${tid}`
  }
}
