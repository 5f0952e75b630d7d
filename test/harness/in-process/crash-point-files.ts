import fs from 'node:fs'
import type { Files } from '../../../src/util/files.ts'

/** A moment at which the process may die: just before an operation, or in the middle of a write. */
export interface CrashPoint {
  /** The operation that did not happen, or only in part. */
  readonly what: string
  /** The write that is cut short, if one is. */
  readonly torn?: { readonly path: string; readonly position: number; readonly data: Uint8Array }
}

/**
 * Files that tell of each moment at which a crash would leave another state behind: before every change, and inside every write, where
 * `cuts` says. What a test makes of it is a copy of the directory as a crash would leave it.
 */
export function crashPointFiles(
  files: Files,
  at: (point: CrashPoint) => void,
  cuts: (lengthBytes: number) => number[] = (lengthBytes) => [lengthBytes >> 1],
): Files {
  const paths = new Map<number, string>()
  const of = (fd: number) => paths.get(fd) ?? `descriptor ${fd}`
  return {
    ...bound(files),
    open(path, flags, mode) {
      if ((flags & fs.constants.O_CREAT) !== 0 && !files.exists(path)) at({ what: `create ${path}` })
      const fd = files.open(path, flags, mode)
      paths.set(fd, path)
      return fd
    },
    write(fd, from, start, length, position) {
      const path = of(fd)
      at({ what: `write ${path}` })
      for (const cut of cuts(length)) {
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

/** Files that are told apart by their size only: a power loss can bring back the times of before with the content of after. */
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
    unlink: files.unlink.bind(files),
    rename: files.rename.bind(files),
  }
}

/** The directory `from` as a crash at `point` would leave it, at `to`. */
export function leaveCrashed(from: string, to: string, { torn }: CrashPoint): void {
  fs.rmSync(to, { recursive: true, force: true })
  fs.cpSync(from, to, { recursive: true })
  if (torn === undefined) return
  const fd = fs.openSync(to + torn.path.slice(from.length), 'r+')
  fs.writeSync(fd, torn.data, 0, torn.data.length, torn.position)
  fs.closeSync(fd)
}
