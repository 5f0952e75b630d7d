import fs from 'node:fs'
import type { Files } from '../../../src/util/files.ts'
import { withFile } from '../../../src/util/files.ts'

/** A moment at which the process may crash: just before an operation, or in the middle of a write. */
export interface CrashPoint {
  /** The operation that the crash prevents or cuts short. */
  readonly what: string
  /** The part of a write that happens before the crash. */
  readonly torn?: { readonly path: string; readonly position: number; readonly data: Uint8Array }
}

/**
 * Files that report each moment at which a crash would leave another state: before every change, and inside every write
 * where `cuts` says. The test can then copy the directory as a crash would leave it (leaveCrashed).
 */
export function crashPointFiles(
  files: Files,
  at: (point: CrashPoint) => void,
  cuts: (path: string, position: number, data: Uint8Array, pageSize?: number) => number[] = (_, __, { length }) => [
    length >> 1,
  ],
): Files {
  const paths = new Map<number, string>()
  const of = (fd: number) => paths.get(fd) ?? `descriptor ${fd}`
  /** The page size of the database to which a file belongs, from its first page or its WAL. */
  const pageSize = (path: string) => {
    const isWal = path.endsWith('-wal')
    const field = isWal ? readField(files, path, 8, 4) : readField(files, path.replace(/-journal$/, ''), 16, 2)
    return field === 1 ? 65_536 : field
  }
  return {
    ...bound(files),
    open(path, flags, mode) {
      const there = files.exists(path)
      if ((flags & fs.constants.O_CREAT) !== 0 && !there) at({ what: `create ${path}` })
      if ((flags & fs.constants.O_TRUNC) !== 0 && there) at({ what: `empty ${path}` })
      const fd = files.open(path, flags, mode)
      paths.set(fd, path)
      return fd
    },
    write(fd, from, start, length, position) {
      const path = of(fd)
      at({ what: `write ${path}` })
      for (const cut of cuts(path, position, from.subarray(start, start + length), pageSize(path))) {
        if (cut <= 0 || cut >= length) continue
        at({
          what: `write ${path}, ${cut} of ${length} bytes`,
          torn: { path, position, data: from.subarray(start, start + cut) },
        })
      }
      files.write(fd, from, start, length, position)
    },
    truncate(fd, sizeBytes) {
      at({ what: `truncate ${of(fd)} to ${sizeBytes}` })
      files.truncate(fd, sizeBytes)
    },
    makeDirectory(path) {
      if (!files.exists(path)) at({ what: `make directory ${path}` })
      files.makeDirectory(path)
    },
    removeDirectory(path) {
      at({ what: `remove directory ${path}` })
      files.removeDirectory(path)
    },
    unlink(path) {
      at({ what: `unlink ${path}` })
      files.unlink(path)
    },
    remove(path) {
      if (files.exists(path)) this.unlink(path)
    },
    rename(from, to) {
      at({ what: `rename ${from} to ${to}` })
      files.rename(from, to)
    },
  }
}

/** Reads a number of `sizeBytes` at `at`. Returns undefined if it is missing or 0. */
function readField(files: Files, path: string, at: number, sizeBytes: number): number | undefined {
  if (!files.exists(path)) return undefined
  return withFile(files, path, fs.constants.O_RDONLY, (fd) => {
    const bytes = Buffer.alloc(sizeBytes)
    if (files.read(fd, bytes, 0, sizeBytes, at) < sizeBytes) return undefined
    return bytes.readUIntBE(0, sizeBytes) || undefined
  })
}

/**
 * Files whose identity is only their size, because a power loss can bring back an earlier time with later content.
 */
export function timelessFiles(files: Files): Files {
  return { ...bound(files), identity: (fd) => String(files.size(fd)) }
}

/** The methods as bound functions, for use with spread. */
function bound(files: Files): Files {
  return {
    open: files.open.bind(files),
    close: files.close.bind(files),
    read: files.read.bind(files),
    write: files.write.bind(files),
    truncate: files.truncate.bind(files),
    sync: files.sync.bind(files),
    syncDirectory: files.syncDirectory.bind(files),
    size: files.size.bind(files),
    identity: files.identity.bind(files),
    exists: files.exists.bind(files),
    status: files.status.bind(files),
    remove: files.remove.bind(files),
    list: files.list.bind(files),
    makeDirectory: files.makeDirectory.bind(files),
    removeDirectory: files.removeDirectory.bind(files),
    unlink: files.unlink.bind(files),
    rename: files.rename.bind(files),
  }
}

/** Copies the directory `from` to `to`, as a crash at this point would leave it. */
export function leaveCrashed(from: string, to: string, { torn }: CrashPoint): void {
  fs.rmSync(to, { recursive: true, force: true })
  fs.cpSync(from, to, { recursive: true })
  // A file without a name is gone after a crash.
  if (torn === undefined || !fs.existsSync(torn.path)) return
  const fd = fs.openSync(to + torn.path.slice(from.length), 'r+')
  fs.writeSync(fd, torn.data, 0, torn.data.length, torn.position)
  fs.closeSync(fd)
}
