/** libfuse's callbacks for open files and their content, as requests to the session. */

import fs from 'node:fs'
import {
  CREATE_IN,
  ENTRY_OUT,
  FSYNC_DATA_ONLY,
  FSYNC_IN,
  OPEN_IN,
  OPEN_KILL_SUIDGID,
  OPEN_OUT,
  READ_IN,
  RELEASE_IN,
  SETATTR_IN,
  SETATTR_VALID,
  WRITE_IN,
  WRITE_OUT,
} from '../protocol/kernel.ts'
import { answer, answerCount } from './answer.ts'
import { Handles } from './handles.ts'
import type { Names } from './names.ts'
import type { ContentCallbacks, FileCallbacks, HandleCallbacks } from './package.ts'
import type { Wire } from './wire.ts'

const { O_CREAT, O_RDWR, O_TRUNC } = fs.constants

export function fileCallbacks(wire: Wire, names: Names): FileCallbacks {
  const handles = new Handles()
  return { ...handleCallbacks(wire, names, handles), ...contentCallbacks(wire, names, handles) }
}

function handleCallbacks(wire: Wire, names: Names, handles: Handles): HandleCallbacks {
  return {
    open: (name, flags, reply) =>
      answer(reply, () =>
        names.through(name, (known) => {
          // The kernel asks for this unless root truncates, and the package passes no caller: always is safe.
          const kill = (flags & O_TRUNC) === 0 ? 0 : OPEN_KILL_SUIDGID
          const open = wire.call('OPEN', known.id, (request) =>
            request.struct(OPEN_IN.SIZE).set32(OPEN_IN.flags, flags).set32(OPEN_IN.open_flags, kill),
          )
          return handles.add({ fh: open.u64(OPEN_OUT.fh), known })
        }),
      ),

    /** fuse-native does not pass the open flags. Assume O_RDWR: a file is created to be written. */
    create: (name, mode, reply) =>
      answer(reply, () => {
        const { directory, base } = names.parent(name)
        const made = wire.call('CREATE', directory, (request) =>
          request
            .struct(CREATE_IN.SIZE)
            .set32(CREATE_IN.flags, O_RDWR | O_CREAT)
            .set32(CREATE_IN.mode, mode)
            .text(base),
        )
        return handles.add({ fh: made.u64(ENTRY_OUT.SIZE + OPEN_OUT.fh), known: names.remember(name, made) })
      }),

    fsync: (_name, dataOnly, handle, reply) =>
      answer(reply, () => {
        const { fh, known } = handles.get(handle)
        const flags = dataOnly === 0 ? 0 : FSYNC_DATA_ONLY
        wire.call('FSYNC', known.id, (request) =>
          request.struct(FSYNC_IN.SIZE).set64(FSYNC_IN.fh, fh).set32(FSYNC_IN.fsync_flags, flags),
        )
      }),

    release: (_name, handle, reply) =>
      answer(reply, () => {
        const { fh, known } = handles.remove(handle)
        wire.call('RELEASE', known.id, (request) => request.struct(RELEASE_IN.SIZE).set64(RELEASE_IN.fh, fh))
      }),
  }
}

function contentCallbacks(wire: Wire, names: Names, handles: Handles): ContentCallbacks {
  const resize = (id: number, size: number, fh?: number): void => {
    const valid = SETATTR_VALID.SIZE | (fh === undefined ? 0 : SETATTR_VALID.HANDLE)
    wire.call('SETATTR', id, (request) =>
      request
        .struct(SETATTR_IN.SIZE)
        .set32(SETATTR_IN.valid, valid)
        .set64(SETATTR_IN.fh, fh ?? 0)
        .set64(SETATTR_IN.size, size),
    )
  }

  return {
    read: (_name, handle, into, length, position, reply) =>
      answerCount(reply, () => {
        const { fh, known } = handles.get(handle)
        const got = wire.call('READ', known.id, (request) =>
          request
            .struct(READ_IN.SIZE)
            .set64(READ_IN.fh, fh)
            .set64(READ_IN.offset, position)
            .set32(READ_IN.size, length),
        )
        into.set(got.slice(0, got.size))
        return got.size
      }),

    write: (_name, handle, data, length, position, reply) =>
      answerCount(reply, () => {
        const { fh, known } = handles.get(handle)
        const written = wire.call('WRITE', known.id, (request) =>
          request
            .struct(WRITE_IN.SIZE)
            .set64(WRITE_IN.fh, fh)
            .set64(WRITE_IN.offset, position)
            .set32(WRITE_IN.size, length)
            .data(data.subarray(0, length)),
        )
        return written.u32(WRITE_OUT.size)
      }),

    truncate: (name, size, reply) => answer(reply, () => names.through(name, ({ id }) => resize(id, size))),

    ftruncate: (_name, handle, size, reply) =>
      answer(reply, () => {
        const { fh, known } = handles.get(handle)
        resize(known.id, size, fh)
      }),
  }
}
