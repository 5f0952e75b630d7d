/** libfuse's callbacks for directories, as requests to the session. */

import { DIRENT, FSYNC_IN, READ_IN } from '../protocol/kernel.ts'
import { answer } from './answer.ts'
import type { Names } from './names.ts'
import type { DirectoryCallbacks, FileStatus } from './package.ts'
import type { Wire } from './wire.ts'

/** The largest piece of a listing. */
const LISTING_BYTES = 64 << 10

export function directoryCallbacks(wire: Wire, names: Names): DirectoryCallbacks {
  const list = (name: string): { names: string[]; statuses: FileStatus[] } => {
    const { id } = names.find(name)
    const found: string[] = []
    const statuses: FileStatus[] = []
    for (let cookie = 0; ;) {
      const answer = wire.call('READDIR', id, (request) =>
        request.struct(READ_IN.SIZE).set64(READ_IN.offset, cookie).set32(READ_IN.size, LISTING_BYTES),
      )
      if (answer.size === 0) return { names: found, statuses }
      for (let at = 0; at < answer.size;) {
        const length = answer.u32(at + DIRENT.namelen)
        found.push(answer.slice(at + DIRENT.SIZE, length).toString())
        // With use_ino, an entry without a number is in no listing.
        statuses.push({ ino: answer.u32(at + DIRENT.ino), mode: answer.u32(at + DIRENT.type) << 12 })
        cookie = answer.u64(at + DIRENT.off)
        at += (DIRENT.SIZE + length + 7) & ~7
      }
    }
  }

  return {
    readdir: (name, reply) =>
      answer<ReturnType<typeof list>>(
        (result, found) => reply(result, found?.names, found?.statuses),
        () => list(name),
      ),

    fsyncdir: (name, _dataOnly, _handle, reply) =>
      answer(reply, () => {
        wire.call('FSYNCDIR', names.find(name).id, (request) => request.struct(FSYNC_IN.SIZE))
      }),
  }
}
