import fs from 'node:fs'
import type { Files } from '../../../src/util/files.ts'
import { withFile } from '../../../src/util/files.ts'

/** A moment at which the process may die: just before an operation, or in the middle of a write. */
export interface CrashPoint {
  /** The operation that did not happen, or only in part. */
  readonly what: string
  /** The write that is cut short, if one is. */
  readonly torn?: { readonly path: string; readonly position: number; readonly data: Uint8Array }
}

/**
 * Files that tell of each moment at which a crash would leave another state behind: before every change, and inside
 * every write, where `cuts` says. What a test makes of it is a copy of the directory as a crash would leave it.
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
  /** Of the database to which a file belongs, as its first page or its WAL tells. */
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
    rename(from, to) {
      at({ what: `rename ${from} to ${to}` })
      files.rename(from, to)
    },
  }
}

/** A number of `sizeBytes` at `at` of a file; undefined where it has none, or 0. */
function readField(files: Files, path: string, at: number, sizeBytes: number): number | undefined {
  if (!files.exists(path)) return undefined
  return withFile(files, path, fs.constants.O_RDONLY, (fd) => {
    const bytes = Buffer.alloc(sizeBytes)
    if (files.read(fd, bytes, 0, sizeBytes, at) < sizeBytes) return undefined
    return bytes.readUIntBE(0, sizeBytes) || undefined
  })
}

/**
 * Files that are told apart by their size only: a power loss can bring back the times of before with the content of
 * after.
 */
export function timelessFiles(files: Files): Files {
  return { ...bound(files), identity: (fd) => String(files.size(fd)) }
}

/** Its methods as functions of their own, to be spread. */
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
    list: files.list.bind(files),
    makeDirectory: files.makeDirectory.bind(files),
    removeDirectory: files.removeDirectory.bind(files),
    unlink: files.unlink.bind(files),
    rename: files.rename.bind(files),
  }
}

/** The directory `from` as a crash at `point` would leave it, at `to`. */
export function leaveCrashed(from: string, to: string, { torn }: CrashPoint): void {
  fs.rmSync(to, { recursive: true, force: true })
  fs.cpSync(from, to, { recursive: true })
  // A file that has lost its name is nowhere after a crash.
  if (torn === undefined || !fs.existsSync(torn.path)) return
  const fd = fs.openSync(to + torn.path.slice(from.length), 'r+')
  fs.writeSync(fd, torn.data, 0, torn.data.length, torn.position)
  fs.closeSync(fd)
}
