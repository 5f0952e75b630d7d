/**
 * Translates the kernel's messages to typed operations and back; the only file that knows both. An opcode that is not
 * in the table is answered with ENOSYS, which the kernel remembers. That is the intended answer for:
 * FLUSH and OPENDIR (nothing to do; saves a round trip for each close and each open of a directory), ACCESS (the
 * kernel checks permissions itself), xattrs, FALLOCATE (SQLite and glibc then write), LSEEK, COPY_FILE_RANGE, IOCTL,
 * POLL, BMAP, TMPFILE, STATX, SYNCFS (the kernel does without).
 */

import { errnoNumber, rejection } from '../errno.ts'
import type { AttributeChange, FileSystem } from '../filesystem.ts'
import {
  BATCH_FORGET_IN,
  CREATE_IN,
  FORGET_IN,
  FORGET_ONE,
  FSYNC_DATA_ONLY,
  FSYNC_IN,
  LINK_IN,
  MAX_TRANSFER,
  MKDIR_IN,
  MKNOD_IN,
  OPCODE,
  type OpcodeName,
  OPEN_IN,
  OPEN_KILL_SUIDGID,
  OUT_HEADER,
  READ_IN,
  RELEASE_IN,
  RENAME_IN,
  RENAME2_IN,
  SETATTR_IN,
  SETATTR_VALID,
  WRITE_IN,
  WRITE_KILL_SUIDGID,
} from './kernel.ts'
import type { Reply } from './reply.ts'
import type { Request } from './request.ts'

type Operation = (fs: FileSystem, request: Request, reply: Reply) => void

const RENAME_NOREPLACE = 1

const OPERATIONS: Partial<Record<OpcodeName, Operation>> = {
  LOOKUP(fs, request, reply) {
    const entry = fs.lookup(request.nodeId, request.name())
    if (entry === undefined) reply.noEntry()
    else reply.entry(entry)
  },

  FORGET(fs, request, reply) {
    request.struct(FORGET_IN.SIZE)
    fs.forget(request.nodeId, request.u64(FORGET_IN.nlookup))
    reply.none()
  },

  BATCH_FORGET(fs, request, reply) {
    request.struct(BATCH_FORGET_IN.SIZE)
    const count = request.u32(BATCH_FORGET_IN.count)
    request.struct(count * FORGET_ONE.SIZE)
    for (let i = 0; i < count; i++) {
      const at = BATCH_FORGET_IN.SIZE + i * FORGET_ONE.SIZE
      fs.forget(request.u64(at + FORGET_ONE.nodeid), request.u64(at + FORGET_ONE.nlookup))
    }
    reply.none()
  },

  GETATTR(fs, request, reply) {
    const attributes = fs.getAttributes(request.nodeId)
    reply.attributes(attributes, attributes.uncached !== true)
  },

  SETATTR(fs, request, reply) {
    request.struct(SETATTR_IN.SIZE)
    reply.attributes(fs.setAttributes(request.nodeId, attributeChange(request), request), true)
  },

  READLINK(fs, request, reply) {
    reply.data(fs.readLink(request.nodeId))
  },

  SYMLINK(fs, request, reply) {
    const name = request.name()
    reply.entry(fs.makeSymlink(request.nodeId, name, request.string(), request))
  },

  MKNOD(fs, request, reply) {
    request.struct(MKNOD_IN.SIZE)
    reply.entry(fs.makeNode(request.nodeId, request.name(), request.u32(MKNOD_IN.mode), request))
  },

  MKDIR(fs, request, reply) {
    request.struct(MKDIR_IN.SIZE)
    reply.entry(fs.makeDirectory(request.nodeId, request.name(), request.u32(MKDIR_IN.mode), request))
  },

  UNLINK(fs, request) {
    fs.unlink(request.nodeId, request.name(), request)
  },

  RMDIR(fs, request) {
    fs.removeDirectory(request.nodeId, request.name())
  },

  RENAME(fs, request) {
    request.struct(RENAME_IN.SIZE)
    rename(fs, request, request.u64(RENAME_IN.newdir), 0)
  },

  RENAME2(fs, request) {
    request.struct(RENAME2_IN.SIZE)
    rename(fs, request, request.u64(RENAME2_IN.newdir), request.u32(RENAME2_IN.flags))
  },

  /** A second name for a database would be a second database with the same bytes. */
  LINK(fs, request) {
    request.struct(LINK_IN.SIZE)
    fs.link(request.u64(LINK_IN.oldnodeid), request)
  },

  OPEN(fs, request, reply) {
    request.struct(OPEN_IN.SIZE)
    const kill = (request.u32(OPEN_IN.open_flags) & OPEN_KILL_SUIDGID) !== 0
    const opened = fs.open(request.nodeId, request.u32(OPEN_IN.flags), kill, request)
    reply.modeChanged = opened.modeChanged
    reply.opened(opened)
  },

  CREATE(fs, request, reply) {
    request.struct(CREATE_IN.SIZE)
    const flags = request.u32(CREATE_IN.flags)
    const created = fs.create(request.nodeId, request.name(), flags, request.u32(CREATE_IN.mode), request)
    reply.entry(created.entry)
    reply.opened(created.opened)
  },

  READ(fs, request, reply) {
    request.struct(READ_IN.SIZE)
    const length = Math.min(request.u32(READ_IN.size), MAX_TRANSFER)
    const position = request.position(READ_IN.offset)
    reply.payload(fs.read(request.u64(READ_IN.fh), reply.bytes, OUT_HEADER.SIZE, length, position))
  },

  WRITE(fs, request, reply) {
    request.struct(WRITE_IN.SIZE)
    const data = request.data(request.u32(WRITE_IN.size))
    const kill = (request.u32(WRITE_IN.write_flags) & WRITE_KILL_SUIDGID) !== 0
    const position = request.position(WRITE_IN.offset)
    reply.modeChanged = fs.write(request.u64(WRITE_IN.fh), data, position, kill, request)
    reply.written(data.length)
  },

  RELEASE(fs, request) {
    request.struct(RELEASE_IN.SIZE)
    fs.release(request.u64(RELEASE_IN.fh))
  },

  FSYNC(fs, request, reply) {
    request.struct(FSYNC_IN.SIZE)
    const held = fs.sync(request.u64(FSYNC_IN.fh), (request.u32(FSYNC_IN.fsync_flags) & FSYNC_DATA_ONLY) !== 0)
    if (held !== undefined) reply.hold(held)
  },

  FSYNCDIR(fs, request) {
    fs.syncDirectory(request.nodeId)
  },

  READDIR(fs, request, reply) {
    readDirectory(fs, request, reply, false)
  },

  READDIRPLUS(fs, request, reply) {
    readDirectory(fs, request, reply, true)
  },

  STATFS(fs, _request, reply) {
    reply.statistics(fs.statistics())
  },

  DESTROY() {
    // The next read reports that the mount is gone.
  },
}

const byOpcode: (Operation | undefined)[] = []
for (const [name, operation] of Object.entries(OPERATIONS)) byOpcode[OPCODE[name as OpcodeName]] = operation

/** Performs `request` and writes the answer to `reply`. Throws the file system's errors. */
export function perform(fs: FileSystem, request: Request, reply: Reply): void {
  const operation = byOpcode[request.opcode]
  if (operation === undefined) reply.error(errnoNumber('ENOSYS'))
  else operation(fs, request, reply)
}

function rename(fs: FileSystem, request: Request, newParent: number, flags: number): void {
  // RENAME_EXCHANGE would swap two databases under their open handles, which SQLite does not survive.
  if ((flags & ~RENAME_NOREPLACE) !== 0) throw rejection('EINVAL')
  const name = request.name()
  fs.rename(request.nodeId, name, newParent, request.name(), flags === RENAME_NOREPLACE, request)
}

function readDirectory(fs: FileSystem, request: Request, reply: Reply, withEntries: boolean): void {
  request.struct(READ_IN.SIZE)
  reply.beginListing(request.u32(READ_IN.size), withEntries)
  fs.readDirectory(request.nodeId, request.u64(READ_IN.offset), withEntries, reply)
}

function attributeChange(request: Request): AttributeChange {
  const valid = request.u32(SETATTR_IN.valid)
  const change: AttributeChange = { killPrivileges: (valid & SETATTR_VALID.KILL_SUIDGID) !== 0 }
  if (valid & SETATTR_VALID.MODE) change.mode = request.u32(SETATTR_IN.mode)
  if (valid & SETATTR_VALID.UID) change.uid = request.u32(SETATTR_IN.uid)
  if (valid & SETATTR_VALID.GID) change.gid = request.u32(SETATTR_IN.gid)
  if (valid & SETATTR_VALID.SIZE) change.sizeBytes = request.position(SETATTR_IN.size)
  if (valid & SETATTR_VALID.HANDLE) change.handle = request.u64(SETATTR_IN.fh)
  // For "now" the kernel has filled in its own clock, which the backing file system uses too.
  if (valid & SETATTR_VALID.ATIME) change.atime = time(request, SETATTR_IN.atime, SETATTR_IN.atimensec)
  if (valid & SETATTR_VALID.MTIME) change.mtime = time(request, SETATTR_IN.mtime, SETATTR_IN.mtimensec)
  return change
}

function time(request: Request, seconds: number, nanoseconds: number): number {
  return request.i64(seconds) + request.u32(nanoseconds) / 1e9
}
