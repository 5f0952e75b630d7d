/**
 * Invalidations: names, attributes or bytes that the kernel has cached have changed. Invalidations of names and bytes
 * wait for locks that a request in flight may hold, so the thread that serves the mount must never send one: it would
 * wait for itself. Any other thread with the device's descriptor may.
 */

import { nameBytes, writeName } from '../../util/path-bytes.ts'
import type { NodeId } from '../filesystem.ts'
import { NOTIFY, NOTIFY_INVAL_ENTRY_OUT, NOTIFY_INVAL_INODE_OUT, OUT_HEADER } from './kernel.ts'
import { Message } from './message.ts'

/** Drops a name in a directory from the kernel's cache, and the directory's listing. False: neither was cached. */
export function invalidateEntry(device: number, parent: NodeId, name: string): boolean {
  const size = nameBytes(name)
  const message = new Message(NOTIFY.INVAL_ENTRY, NOTIFY_INVAL_ENTRY_OUT.SIZE + size + 1)
  message.u64(NOTIFY_INVAL_ENTRY_OUT.parent, parent)
  message.u32(NOTIFY_INVAL_ENTRY_OUT.namelen, size)
  writeName(message.bytes, name, OUT_HEADER.SIZE + NOTIFY_INVAL_ENTRY_OUT.SIZE)
  return message.send(device)
}

/** Drops a file's attributes from the kernel's cache. Takes no lock, so any thread may call it. False: none cached. */
export function invalidateAttributes(device: number, node: NodeId): boolean {
  return invalidateInode(device, node, -1)
}

/**
 * Drops a file's attributes and `length` cached bytes from `position` on (0: to the end) from the kernel's cache.
 * Returns false when it had cached none.
 */
export function invalidateInode(device: number, node: NodeId, position = 0, length = 0): boolean {
  const message = new Message(NOTIFY.INVAL_INODE, NOTIFY_INVAL_INODE_OUT.SIZE)
  message.u64(NOTIFY_INVAL_INODE_OUT.ino, node)
  message.u64(NOTIFY_INVAL_INODE_OUT.off, position)
  message.u64(NOTIFY_INVAL_INODE_OUT.len, length)
  return message.send(device)
}
