/**
 * Invalidations: something below the mount has changed that the kernel has cached. Those of names and bytes wait for
 * locks that a request in flight may hold, so the thread that serves the mount must never send one: it would wait for
 * itself. Any other thread that has the device's descriptor can.
 */

import type { NodeId } from '../filesystem.ts'
import { NOTIFY, NOTIFY_INVAL_ENTRY_OUT, NOTIFY_INVAL_INODE_OUT, OUT_HEADER } from './kernel.ts'
import { Message } from './message.ts'

/** The kernel drops what it knows of a name in a directory, and the directory's cached listing. False: it knew nothing. */
export function invalidateEntry(device: number, parent: NodeId, name: string): boolean {
  const nameBytes = Buffer.byteLength(name)
  const message = new Message(NOTIFY.INVAL_ENTRY, NOTIFY_INVAL_ENTRY_OUT.SIZE + nameBytes + 1)
  message.u64(NOTIFY_INVAL_ENTRY_OUT.parent, parent)
  message.u32(NOTIFY_INVAL_ENTRY_OUT.namelen, nameBytes)
  message.bytes.write(name, OUT_HEADER.SIZE + NOTIFY_INVAL_ENTRY_OUT.SIZE)
  return message.send(device)
}

/** The kernel drops a file's attributes. Takes no lock, so the serving thread may, too. False: it knew nothing. */
export function invalidateAttributes(device: number, node: NodeId): boolean {
  return invalidateInode(device, node, -1)
}

/**
 * The kernel drops a file's attributes and the cached bytes from `position` on, `length` of them (0: to the end).
 * False: it knew nothing.
 */
export function invalidateInode(device: number, node: NodeId, position = 0, length = 0): boolean {
  const message = new Message(NOTIFY.INVAL_INODE, NOTIFY_INVAL_INODE_OUT.SIZE)
  message.u64(NOTIFY_INVAL_INODE_OUT.ino, node)
  message.u64(NOTIFY_INVAL_INODE_OUT.off, position)
  message.u64(NOTIFY_INVAL_INODE_OUT.len, length)
  return message.send(device)
}
