/**
 * libfuse's callbacks for names and attributes, as requests to the session. libfuse answers operations without a
 * callback itself, as a kernel does after the session answered ENOSYS: access, flush, opendir, extended attributes.
 */

import {
  ATTR_OUT,
  DIRENT,
  ENTRY_OUT,
  FSYNC_IN,
  MKDIR_IN,
  MKNOD_IN,
  READ_IN,
  RENAME_IN,
  SETATTR_IN,
  SETATTR_VALID,
  STATFS_OUT,
} from '../protocol/kernel.ts'
import { answer } from './answer.ts'
import { fileStatus } from './file-status.ts'
import type { Names } from './names.ts'
import type { FileStatus, NameCallbacks } from './package.ts'
import type { Wire, WireMessage } from './wire.ts'

/** The largest piece of a listing. */
const LISTING_BYTES = 64 << 10
/** The name to which libfuse 2 renames an open file when it is removed: its number and a counter. */
const HIDDEN = /\/\.fuse_hidden[0-9a-f]{16,}$/
/** For chown: leave unchanged. */
const UNCHANGED = 0xffff_ffff
const MAX_U32 = 0xffff_ffff

export function nameCallbacks(wire: Wire, names: Names): NameCallbacks {
  const attributes = (name: string): FileStatus => {
    const known = names.peek(name)
    if (known?.isLasting !== true) {
      const { entry } = names.lookUp(name)
      return fileStatus(entry, ENTRY_OUT.attr, entry.u64(ENTRY_OUT.attr_valid) > 0)
    }
    const answer = wire.ask('GETATTR', known.id, (request) => request.struct(16))
    return fileStatus(answer, ATTR_OUT.attr, answer.u64(ATTR_OUT.attr_valid) > 0)
  }

  const change = (id: number, valid: number, fill: (request: WireMessage) => unknown): void => {
    wire.ask('SETATTR', id, (request) => fill(request.struct(SETATTR_IN.SIZE).set32(SETATTR_IN.valid, valid)))
  }

  /** libfuse renames a file that is removed while it is open. The session sees a removal instead. */
  const hide = (from: string, to: string): void => {
    unlink(from, () => names.move(from, to))
    const known = names.peek(to)
    if (known !== undefined) known.isHidden = true
  }

  const unlink = (name: string, done: () => void): void => {
    const { directory, base } = names.parent(name)
    wire.ask('UNLINK', directory, (request) => request.text(base))
    done()
  }

  const list = (name: string): { names: string[]; statuses: FileStatus[] } => {
    const { id } = names.find(name)
    const found: string[] = []
    const statuses: FileStatus[] = []
    for (let cookie = 0; ;) {
      const answer = wire.ask('READDIR', id, (request) =>
        request.struct(READ_IN.SIZE).set64(READ_IN.offset, cookie).set32(READ_IN.size, LISTING_BYTES),
      )
      if (answer.size === 0) return { names: found, statuses }
      for (let at = 0; at < answer.size;) {
        const length = answer.u32(at + DIRENT.namelen)
        found.push(answer.slice(at + DIRENT.SIZE, length).toString())
        statuses.push({ mode: answer.u32(at + DIRENT.type) << 12 })
        cookie = answer.u64(at + DIRENT.off)
        at += (DIRENT.SIZE + length + 7) & ~7
      }
    }
  }

  return {
    getattr: (name, reply) => answer(reply, () => attributes(name)),

    readdir: (name, reply) =>
      answer<ReturnType<typeof list>>(
        (result, found) => reply(result, found?.names, found?.statuses),
        () => list(name),
      ),

    fsyncdir: (name, _dataOnly, _handle, reply) =>
      answer(reply, () => {
        wire.ask('FSYNCDIR', names.find(name).id, (request) => request.struct(FSYNC_IN.SIZE))
      }),

    chmod: (name, mode, reply) =>
      answer(reply, () =>
        change(names.find(name).id, SETATTR_VALID.MODE, (request) => request.set32(SETATTR_IN.mode, mode)),
      ),

    chown: (name, uid, gid, reply) =>
      answer(reply, () => {
        const valid = (uid === UNCHANGED ? 0 : SETATTR_VALID.UID) | (gid === UNCHANGED ? 0 : SETATTR_VALID.GID)
        change(names.find(name).id, valid, (request) => request.set32(SETATTR_IN.uid, uid).set32(SETATTR_IN.gid, gid))
      }),

    /** Times are in milliseconds. fuse-native passes the first of the two times twice. */
    utimens: (name, atimeMs, mtimeMs, reply) =>
      answer(reply, () => {
        const [atime, mtime] = [atimeMs, mtimeMs].map((ms) => Math.floor(ms / 1000)) as [number, number]
        change(names.find(name).id, SETATTR_VALID.ATIME | SETATTR_VALID.MTIME, (request) =>
          request
            .set64(SETATTR_IN.atime, atime)
            .set32(SETATTR_IN.atimensec, (atimeMs - atime * 1000) * 1e6)
            .set64(SETATTR_IN.mtime, mtime)
            .set32(SETATTR_IN.mtimensec, (mtimeMs - mtime * 1000) * 1e6),
        )
      }),

    mkdir: (name, mode, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        const made = wire.ask('MKDIR', directory, (request) =>
          request.struct(MKDIR_IN.SIZE).set32(MKDIR_IN.mode, mode).text(base),
        )
        names.remember(name, made)
      }),

    mknod: (name, mode, _device, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        const made = wire.ask('MKNOD', directory, (request) =>
          request.struct(MKNOD_IN.SIZE).set32(MKNOD_IN.mode, mode).text(base),
        )
        names.remember(name, made)
      }),

    symlink: (target, name, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        names.remember(
          name,
          wire.ask('SYMLINK', directory, (request) => request.text(base).text(target)),
        )
      }),

    readlink: (name, reply) =>
      answer(reply, () => {
        const target = wire.ask('READLINK', names.find(name).id)
        return target.slice(0, target.size).toString()
      }),

    link: (name, _newName, reply) => answer(reply, () => void wire.ask('LINK', names.find(name).id)),

    unlink: (name, reply) =>
      answer(reply, () => {
        if (names.peek(name)?.isHidden === true) names.forget(name)
        else unlink(name, () => names.forget(name))
      }),

    rmdir: (name, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        wire.ask('RMDIR', directory, (request) => request.text(base))
        names.forget(name)
      }),

    rename: (from, to, reply) =>
      answer(reply, () => {
        if (HIDDEN.test(to) && (names.peek(from)?.opens ?? 0) > 0) return hide(from, to)
        const source = names.parent(from)
        const target = names.parent(to)
        wire.ask('RENAME', source.directory, (request) =>
          request.struct(RENAME_IN.SIZE).set64(RENAME_IN.newdir, target.directory).text(source.base).text(target.base),
        )
        names.move(from, to)
      }),

    statfs: (_name, reply) =>
      answer(reply, () => {
        const facts = wire.ask('STATFS', 1)
        const count = (offset: number) => Math.min(facts.u64(offset), MAX_U32)
        return {
          bsize: facts.u32(STATFS_OUT.bsize),
          frsize: facts.u32(STATFS_OUT.frsize),
          namemax: facts.u32(STATFS_OUT.namelen),
          blocks: count(STATFS_OUT.blocks),
          bfree: count(STATFS_OUT.bfree),
          bavail: count(STATFS_OUT.bavail),
          files: count(STATFS_OUT.files),
          ffree: count(STATFS_OUT.ffree),
          favail: count(STATFS_OUT.ffree),
        }
      }),
  }
}
