import fs from 'node:fs'
import { listNames, native } from './path-bytes.ts'
import { createSync, makeDirectorySync, type Modes, PRIVATE } from './private-files.ts'

/**
 * The file operations of the data plane, all synchronous. Injected, so that a test can count operations, tear a write
 * at any byte, or lose writes that were never synced.
 */
export interface Files {
  /** `flags` as for open(2): fs.constants.O_*. Without `mode` a new file has the mode of what ltxd makes for itself. */
  open(path: string, flags: number, mode?: number): number
  close(fd: number): void
  /** Reads `length` bytes at `position`; fewer only at the end of the file. */
  read(fd: number, into: Uint8Array, at: number, length: number, position: number): number
  /** Writes all `length` bytes, or throws. */
  write(fd: number, from: Uint8Array, at: number, length: number, position: number): void
  truncate(fd: number, sizeBytes: number): void
  sync(fd: number): void
  /** Makes a directory's entries durable. */
  syncDirectory(path: string): void
  size(fd: number): number
  /** Device, inode, size, mtime and ctime in one string, which differs after every change of the file. */
  identity(fd: number): string
  exists(path: string): boolean
  /** undefined when there is nothing of that name. */
  status(path: string): fs.Stats | undefined
  /** The names in a directory; empty when it does not exist. */
  list(path: string): string[]
  /** With its missing parents. They have the mode of what ltxd makes for itself. */
  makeDirectory(path: string): void
  /** Removes an empty directory. */
  removeDirectory(path: string): void
  unlink(path: string): void
  /** Removes a file if there is one. */
  remove(path: string): void
  rename(from: string, to: string): void
}

export const nodeFiles: Files = {
  open: (path, flags, mode = PRIVATE.file) => createSync(path, flags, mode),
  close: (fd) => fs.closeSync(fd),
  read(fd, into, at, length, position) {
    let done = 0
    while (done < length) {
      const n = fs.readSync(fd, into, at + done, length - done, position + done)
      if (n === 0) break
      done += n
    }
    return done
  },
  write(fd, from, at, length, position) {
    let done = 0
    while (done < length) done += fs.writeSync(fd, from, at + done, length - done, position + done)
  },
  truncate: (fd, sizeBytes) => fs.ftruncateSync(fd, sizeBytes),
  sync: (fd) => fs.fsyncSync(fd),
  syncDirectory(path) {
    const fd = fs.openSync(native(path), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    try {
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  },
  size: (fd) => fs.fstatSync(fd).size,
  identity(fd) {
    const { dev, ino, size, mtimeNs, ctimeNs } = fs.fstatSync(fd, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(':')
  },
  exists: (path) => fs.existsSync(native(path)),
  status: (path) => fs.statSync(native(path), { throwIfNoEntry: false }),
  list(path) {
    try {
      return listNames(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  },
  makeDirectory: (path) => makeDirectorySync(path, PRIVATE.directory),
  removeDirectory: (path) => fs.rmdirSync(native(path)),
  unlink: (path) => fs.unlinkSync(native(path)),
  remove: (path) => fs.rmSync(native(path), { force: true }),
  rename: (from, to) => fs.renameSync(native(from), native(to)),
}

/** The same, with other modes for what ltxd makes for itself. */
export function filesWith(modes: Modes): Files {
  return {
    ...nodeFiles,
    open: (path, flags, mode = modes.file) => createSync(path, flags, mode),
    makeDirectory: (path) => makeDirectorySync(path, modes.directory),
  }
}

/** Whether `path` names the open file, and not another that took its name. */
export function isAt(files: Files, path: string, fd: number): boolean {
  const there = files.status(path)
  const open = fs.fstatSync(fd)
  return there?.ino === open.ino && there.dev === open.dev
}

/** Opens a file, calls `use`, and closes the file. */
export function withFile<T>(files: Files, path: string, flags: number, use: (fd: number) => T): T {
  const fd = files.open(path, flags)
  try {
    return use(fd)
  } finally {
    files.close(fd)
  }
}

/** Returns a function that reads up to `length` bytes at a position, each time into a new buffer. */
export function readerOf(files: Files, fd: number): (position: number, length: number) => Uint8Array {
  return (position, length) => {
    const bytes = new Uint8Array(length)
    return bytes.subarray(0, files.read(fd, bytes, 0, length, position))
  }
}

/** The directory of a path. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

/** Creates a directory and its missing parents durably. */
export function makeDurableDirectory(files: Files, path: string): void {
  if (files.exists(path)) return
  const parent = parentOf(path)
  if (parent !== '') makeDurableDirectory(files, parent)
  files.makeDirectory(path)
  files.syncDirectory(parent || '/')
}

/** Replaces the content of `path`. After a crash it has either the old content or the new. */
export function replaceFile(files: Files, path: string, bytes: Uint8Array): void {
  const temporary = `${path}.tmp`
  const { O_WRONLY, O_CREAT, O_TRUNC } = fs.constants
  withFile(files, temporary, O_WRONLY | O_CREAT | O_TRUNC, (fd) => {
    files.write(fd, bytes, 0, bytes.length, 0)
    files.sync(fd)
  })
  files.rename(temporary, path)
  files.syncDirectory(parentOf(path) || '.')
}
