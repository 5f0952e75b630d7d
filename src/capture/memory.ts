import os from 'node:os'
import { FsError } from '../fuse/errno.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { CaptureEvents } from './events.ts'

/** Of the page table for each new page, and of a transaction for each page that it has, in bytes. */
const MEMORY_PER_PAGE = 32
/** Smaller transactions are not worth a look at the memory. */
const LARGE_PAGES = 1 << 20

/**
 * Throws FsError if a transaction of `changed` pages, after which the database has `sizePages`, would need more than
 * half of the memory that there is: that would end the node, and all databases with it (I10).
 */
export function assertMemory(
  { pages, events, name }: Pick<CapturedDatabase, 'pages' | 'events' | 'name'>,
  sizePages: number,
  changed: number,
  available = availableMemory,
): void {
  const added = Math.max(0, sizePages - pages.sizePages)
  if (added + changed < LARGE_PAGES) return
  const neededBytes = (added + Math.max(added, changed)) * MEMORY_PER_PAGE
  const availableBytes = available()
  if (neededBytes > availableBytes / 2) throw rejectMemory(events, name, { sizePages, neededBytes, availableBytes })
}

/**
 * What this process can still get. `process.availableMemory` takes the page cache of a container for used, and would
 * reject what there is room for.
 */
function availableMemory(): number {
  const limit = process.constrainedMemory()
  const most = limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem()
  return Math.min(os.freemem(), most - process.memoryUsage.rss())
}

function rejectMemory(
  events: CaptureEvents,
  database: string,
  sizes: { readonly sizePages: number; readonly neededBytes: number; readonly availableBytes: number },
): FsError {
  const [needed, available] = [sizes.neededBytes, sizes.availableBytes].map((bytes) => Math.round(bytes / 2 ** 20))
  const message =
    `a transaction was rejected: for a database of ${sizes.sizePages} pages it needs some ${needed} MiB of memory, and ` +
    `none gets more than half of the ${available} MiB that are available; nothing was changed. ` +
    'Give the node more memory, commit in smaller transactions, or use larger pages (PRAGMA page_size)'
  events.log('error', message, { database, errno: 'ENOMEM' })
  return new FsError('ENOMEM', message)
}
