/** libfuse's callbacks for attributes of files and of the file system, as requests to the session. */

import { ATTR_OUT, ENTRY_OUT, SETATTR_IN, SETATTR_VALID, STATFS_OUT } from '../protocol/kernel.ts'
import { answer } from './answer.ts'
import { fileStatus } from './file-status.ts'
import type { Names } from './names.ts'
import type { AttributeCallbacks, FileStatus } from './package.ts'
import type { Wire, WireMessage } from './wire.ts'

/** For chown: leave unchanged. */
const UNCHANGED = 0xffff_ffff
const MAX_U32 = 0xffff_ffff

export function attributeCallbacks(wire: Wire, names: Names): AttributeCallbacks {
  const attributes = (name: string): FileStatus => {
    const known = names.peek(name)
    if (known?.isLasting !== true) {
      const { entry } = names.lookUp(name)
      return fileStatus(entry, ENTRY_OUT.attr, entry.u64(ENTRY_OUT.attr_valid) > 0)
    }
    const answer = names.through(name, ({ id }) => wire.call('GETATTR', id, (request) => request.struct(16)))
    return fileStatus(answer, ATTR_OUT.attr, answer.u64(ATTR_OUT.attr_valid) > 0)
  }

  const change = (id: number, valid: number, fill: (request: WireMessage) => unknown): void => {
    wire.call('SETATTR', id, (request) => fill(request.struct(SETATTR_IN.SIZE).set32(SETATTR_IN.valid, valid)))
  }

  return {
    getattr: (name, reply) => answer(reply, () => attributes(name)),

    chmod: (name, mode, reply) =>
      answer(reply, () =>
        names.through(name, ({ id }) =>
          change(id, SETATTR_VALID.MODE, (request) => request.set32(SETATTR_IN.mode, mode)),
        ),
      ),

    chown: (name, uid, gid, reply) =>
      answer(reply, () => {
        const valid = (uid === UNCHANGED ? 0 : SETATTR_VALID.UID) | (gid === UNCHANGED ? 0 : SETATTR_VALID.GID)
        names.through(name, ({ id }) =>
          change(id, valid, (request) => request.set32(SETATTR_IN.uid, uid).set32(SETATTR_IN.gid, gid)),
        )
      }),

    /** Times are in milliseconds. fuse-native passes the first of the two times twice. */
    utimens: (name, atimeMs, mtimeMs, reply) =>
      answer(reply, () => {
        const [atime, mtime] = [atimeMs, mtimeMs].map((ms) => Math.floor(ms / 1000)) as [number, number]
        names.through(name, ({ id }) =>
          change(id, SETATTR_VALID.ATIME | SETATTR_VALID.MTIME, (request) =>
            request
              .set64(SETATTR_IN.atime, atime)
              .set32(SETATTR_IN.atimensec, (atimeMs - atime * 1000) * 1e6)
              .set64(SETATTR_IN.mtime, mtime)
              .set32(SETATTR_IN.mtimensec, (mtimeMs - mtime * 1000) * 1e6),
          ),
        )
      }),

    statfs: (_name, reply) =>
      answer(reply, () => {
        const facts = wire.call('STATFS', 1)
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
