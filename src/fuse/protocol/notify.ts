/**
 * Invalidations: names, attributes or bytes that the kernel has cached have changed. Invalidations of names and bytes
 * wait for locks that a request in flight may hold. The thread that serves the mount would wait for itself, and no
 * thread of the process could be killed while it waits for an answer that nobody gives any more. So a process of its
 * own sends them (mount/notifier.ts).
 */

import { nameBytes, writeName } from '../../util/path-bytes.ts'
import type { NodeId } from '../filesystem.ts'
import { NOTIFY, NOTIFY_INVAL_ENTRY_OUT, NOTIFY_INVAL_INODE_OUT, NOTIFY_STORE_OUT, OUT_HEADER } from './kernel.ts'
import { Message } from './message.ts'

/** Drops a name in a directory from the kernel's cache, and the directory's listing. */
export function entryInvalidation(parent: NodeId, name: string): Message {
  const size = nameBytes(name)
  const message = new Message(NOTIFY.INVAL_ENTRY, NOTIFY_INVAL_ENTRY_OUT.SIZE + size + 1)
  message.u64(NOTIFY_INVAL_ENTRY_OUT.parent, parent)
  message.u32(NOTIFY_INVAL_ENTRY_OUT.namelen, size)
  writeName(message.bytes, name, OUT_HEADER.SIZE + NOTIFY_INVAL_ENTRY_OUT.SIZE)
  return message
}

/** Drops a file's attributes from the kernel's cache. Takes no lock, so any thread may call it. False: none cached. */
export function invalidateAttributes(device: number, node: NodeId): boolean {
  return inodeInvalidation(node, -1).send(device)
}

/** Drops a file's attributes, and its bytes from `position` on (-1: none) from the kernel's cache. */
export function inodeInvalidation(node: NodeId, position = 0): Message {
  const message = new Message(NOTIFY.INVAL_INODE, NOTIFY_INVAL_INODE_OUT.SIZE)
  message.u64(NOTIFY_INVAL_INODE_OUT.ino, node)
  message.u64(NOTIFY_INVAL_INODE_OUT.off, position)
  message.u64(NOTIFY_INVAL_INODE_OUT.len, 0)
  return message
}

/** Zeros at the beginning of a file, in the kernel's cache alone, where programs see them that have mapped the file. */
export function zerosStored(node: NodeId, bytes: number): Message {
  const message = new Message(NOTIFY.STORE, NOTIFY_STORE_OUT.SIZE + bytes)
  message.u64(NOTIFY_STORE_OUT.nodeid, node)
  message.u32(NOTIFY_STORE_OUT.size, bytes)
  return message
}
