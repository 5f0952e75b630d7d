/**
 * libfuse's callbacks for names, as requests to the session. libfuse answers operations without a callback itself, as a
 * kernel does after the session answered ENOSYS: access, flush, opendir, extended attributes.
 */

import { LINK_IN, MKDIR_IN, MKNOD_IN, RENAME_IN } from '../protocol/kernel.ts'
import { answer } from './answer.ts'
import { assertUtf8, type Names } from './names.ts'
import type { CreationCallbacks, NameCallbacks, RemovalCallbacks } from './package.ts'
import type { Wire } from './wire.ts'

/** The name to which libfuse 2 renames an open file when it is removed: its number and a counter. */
const HIDDEN = /\/\.fuse_hidden[0-9a-f]{16,}$/

export function nameCallbacks(wire: Wire, names: Names): NameCallbacks {
  return { ...creationCallbacks(wire, names), ...removalCallbacks(wire, names) }
}

function creationCallbacks(wire: Wire, names: Names): CreationCallbacks {
  return {
    mkdir: (name, mode, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        const made = wire.call('MKDIR', directory, (request) =>
          request.struct(MKDIR_IN.SIZE).set32(MKDIR_IN.mode, mode).text(base),
        )
        names.remember(name, made)
      }),

    mknod: (name, mode, _device, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        const made = wire.call('MKNOD', directory, (request) =>
          request.struct(MKNOD_IN.SIZE).set32(MKNOD_IN.mode, mode).text(base),
        )
        names.remember(name, made)
      }),

    symlink: (target, name, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        assertUtf8(target)
        names.remember(
          name,
          wire.call('SYMLINK', directory, (request) => request.text(base).text(target)),
        )
      }),

    readlink: (name, reply) =>
      answer(reply, () => {
        const target = names.through(name, ({ id }) => wire.call('READLINK', id))
        const text = target.slice(0, target.size).toString()
        assertUtf8(text)
        return text
      }),

    link: (name, newName, reply) =>
      answer(reply, () => {
        const { id } = names.find(name)
        wire.call('LINK', names.parent(newName).directory, (request) =>
          request.struct(LINK_IN.SIZE).set64(LINK_IN.oldnodeid, id),
        )
      }),
  }
}

function removalCallbacks(wire: Wire, names: Names): RemovalCallbacks {
  /** libfuse renames a file that is removed while it is open. The session sees a removal instead. */
  const hide = (from: string, to: string): void => {
    unlink(from, () => names.move(from, to))
    const known = names.peek(to)
    if (known !== undefined) known.isHidden = true
  }

  const unlink = (name: string, done: () => void): void => {
    const { directory, base } = names.parent(name)
    wire.call('UNLINK', directory, (request) => request.text(base))
    done()
  }

  return {
    unlink: (name, reply) =>
      answer(reply, () => {
        if (names.peek(name)?.isHidden === true) names.forget(name)
        else unlink(name, () => names.forget(name))
      }),

    rmdir: (name, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        wire.call('RMDIR', directory, (request) => request.text(base))
        names.forget(name)
      }),

    rename: (from, to, reply) =>
      answer(reply, () => {
        if (HIDDEN.test(to) && (names.peek(from)?.opens ?? 0) > 0) return hide(from, to)
        const source = names.parent(from)
        const target = names.parent(to)
        wire.call('RENAME', source.directory, (request) =>
          request.struct(RENAME_IN.SIZE).set64(RENAME_IN.newdir, target.directory).text(source.base).text(target.base),
        )
        names.move(from, to)
      }),
  }
}
