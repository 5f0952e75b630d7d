/** The first exchange on a mount: both sides negotiate a version and features. */

import { LtxdError } from '../../util/errors.ts'
import {
  INIT_FLAG,
  INIT_IN,
  INIT_OUT,
  KERNEL_MAJOR,
  KERNEL_MINOR,
  MAX_TRANSFER,
  OLDEST_MINOR,
  OUT_HEADER,
  PAGE_SIZE,
} from './kernel.ts'
import type { Reply } from './reply.ts'
import type { Request } from './request.ts'

/**
 * Without POSIX_LOCKS and FLOCK_LOCKS, so that the kernel arbitrates locks by itself. Without WRITEBACK_CACHE, which
 * would delay and reorder writes.
 */
const WANTED =
  INIT_FLAG.ASYNC_READ |
  INIT_FLAG.ATOMIC_O_TRUNC |
  INIT_FLAG.BIG_WRITES |
  INIT_FLAG.DO_READDIRPLUS |
  INIT_FLAG.PARALLEL_DIROPS |
  INIT_FLAG.MAX_PAGES |
  INIT_FLAG.CACHE_SYMLINKS |
  INIT_FLAG.NO_OPENDIR_SUPPORT |
  INIT_FLAG.EXPLICIT_INVAL_DATA |
  INIT_FLAG.HANDLE_KILLPRIV_V2

/** Without these, data would be damaged, or each open of a directory would fail. */
const NEEDED = INIT_FLAG.ATOMIC_O_TRUNC | INIT_FLAG.BIG_WRITES | INIT_FLAG.MAX_PAGES | INIT_FLAG.NO_OPENDIR_SUPPORT

const MAX_BACKGROUND = 64
const CONGESTION_THRESHOLD = 48
/** Times are whole microseconds, which Node can read and set without loss. */
const TIME_GRANULARITY_NS = 1000

export interface Negotiated {
  readonly minor: number
  readonly flags: number
}

/** Answers INIT. Returns undefined when the kernel has a newer major version, and repeats INIT with ours. */
export function negotiate(request: Request, reply: Reply): Negotiated | undefined {
  request.struct(INIT_IN.SIZE)
  const major = request.u32(INIT_IN.major)
  const kernelMinor = request.u32(INIT_IN.minor)
  if (major < KERNEL_MAJOR || (major === KERNEL_MAJOR && kernelMinor < OLDEST_MINOR)) {
    throw new LtxdError(
      'FUSE_TOO_OLD',
      `this kernel has FUSE ${major}.${kernelMinor}, and ltxd needs ${KERNEL_MAJOR}.${OLDEST_MINOR} or later: ` +
        'use Linux 5.4 or later',
    )
  }
  const words = reply.words
  const at = (offset: number) => (OUT_HEADER.SIZE + offset) >> 2
  words.fill(0, at(0), at(INIT_OUT.SIZE))
  words[at(INIT_OUT.major)] = KERNEL_MAJOR
  words[at(INIT_OUT.minor)] = KERNEL_MINOR
  if (major > KERNEL_MAJOR) {
    reply.payload(INIT_OUT.SIZE)
    return undefined
  }
  const offered = request.u32(INIT_IN.flags)
  if ((offered & NEEDED) !== NEEDED) {
    throw new LtxdError(
      'FUSE_TOO_OLD',
      `this kernel's FUSE lacks features that ltxd needs (it offers flags 0x${offered.toString(16)}): ` +
        'use Linux 5.4 or later',
    )
  }
  const minor = Math.min(kernelMinor, KERNEL_MINOR)
  const flags = (offered & WANTED) >>> 0
  words[at(INIT_OUT.minor)] = minor
  words[at(INIT_OUT.max_readahead)] = request.u32(INIT_IN.max_readahead)
  words[at(INIT_OUT.flags)] = flags
  words[at(INIT_OUT.max_write)] = MAX_TRANSFER
  words[at(INIT_OUT.time_gran)] = TIME_GRANULARITY_NS
  const halves = new Uint16Array(words.buffer)
  halves[at(INIT_OUT.max_background) * 2] = MAX_BACKGROUND
  halves[at(INIT_OUT.max_background) * 2 + 1] = CONGESTION_THRESHOLD
  halves[at(INIT_OUT.max_pages) * 2] = MAX_TRANSFER / PAGE_SIZE
  reply.payload(INIT_OUT.SIZE)
  return { minor, flags }
}
