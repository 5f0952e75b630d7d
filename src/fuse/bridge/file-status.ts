import { ATTR } from '../protocol/kernel.ts'
import type { FileStatus } from './package.ts'
import type { WireMessage } from './wire.ts'

let lastMs = 0

/**
 * Reads a file's attributes from `message` at `at`. A file that must not be cached, because it may change at any time,
 * gets a new modification time on each call, so that libfuse makes the kernel drop the file's pages.
 */
export function fileStatus(message: WireMessage, at: number, isCached: boolean): FileStatus {
  const time = (seconds: number, nanoseconds: number) =>
    Math.max(0, message.u64(at + seconds) * 1000 + Math.floor(message.u32(at + nanoseconds) / 1e6))
  return {
    // 32 bits, as fuse-native takes it (protocol/inodes.ts).
    ino: message.u32(at + ATTR.ino),
    size: message.u64(at + ATTR.size),
    blocks: message.u64(at + ATTR.blocks),
    atime: time(ATTR.atime, ATTR.atimensec),
    mtime: isCached ? time(ATTR.mtime, ATTR.mtimensec) : (lastMs = Math.max(Date.now(), lastMs + 1)),
    ctime: time(ATTR.ctime, ATTR.ctimensec),
    mode: message.u32(at + ATTR.mode),
    nlink: message.u32(at + ATTR.nlink),
    uid: message.u32(at + ATTR.uid),
    gid: message.u32(at + ATTR.gid),
    blksize: message.u32(at + ATTR.blksize),
  }
}
