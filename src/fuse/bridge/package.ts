/** The npm package fuse-native 2.2, which is libfuse 2 for Node: as much of it as the bridge uses. It comes without types. */

import { createRequire } from 'node:module'

/** Times are milliseconds since 1970. */
export interface FileStatus {
  readonly mode: number
  readonly size?: number
  readonly blocks?: number
  readonly atime?: number
  readonly mtime?: number
  readonly ctime?: number
  readonly nlink?: number
  readonly uid?: number
  readonly gid?: number
  readonly blksize?: number
}

export interface Statistics {
  readonly bsize: number
  readonly frsize: number
  readonly namemax: number
  readonly blocks: number
  readonly bfree: number
  readonly bavail: number
  readonly files: number
  readonly ffree: number
  readonly favail: number
}

/** `result` is 0, or an errno with a minus; of reads and writes the number of bytes as well. */
type Reply<T = void> = (result: number, value?: T) => void

/** Paths are absolute, with the mount point as their root. */
export interface NameCallbacks {
  getattr(name: string, reply: Reply<FileStatus>): void
  readdir(name: string, reply: (result: number, names?: string[], statuses?: FileStatus[]) => void): void
  chmod(name: string, mode: number, reply: Reply): void
  chown(name: string, uid: number, gid: number, reply: Reply): void
  utimens(name: string, atimeMs: number, mtimeMs: number, reply: Reply): void
  mkdir(name: string, mode: number, reply: Reply): void
  mknod(name: string, mode: number, device: number, reply: Reply): void
  symlink(target: string, name: string, reply: Reply): void
  readlink(name: string, reply: Reply<string>): void
  link(name: string, newName: string, reply: Reply): void
  unlink(name: string, reply: Reply): void
  rmdir(name: string, reply: Reply): void
  rename(from: string, to: string, reply: Reply): void
  fsyncdir(name: string, dataOnly: number, handle: number, reply: Reply): void
  statfs(name: string, reply: Reply<Statistics>): void
}

/** What is open is known by its handle: the name of a file that was removed may be another one's, or `-`. */
export interface FileCallbacks {
  open(name: string, flags: number, reply: Reply<number>): void
  create(name: string, mode: number, reply: Reply<number>): void
  read(name: string, handle: number, into: Buffer, length: number, position: number, reply: Reply): void
  write(name: string, handle: number, data: Buffer, length: number, position: number, reply: Reply): void
  truncate(name: string, size: number, reply: Reply): void
  ftruncate(name: string, handle: number, size: number, reply: Reply): void
  fsync(name: string, dataOnly: number, handle: number, reply: Reply): void
  release(name: string, handle: number, reply: Reply): void
}

export interface FuseOptions {
  readonly timeout: false
  readonly fsname: string
  /** Goes into the list of libfuse's options as it is, and so do others that come after it with commas. */
  readonly subtype: string
  readonly autoCache: boolean
  readonly defaultPermissions: boolean
  readonly allowOther: boolean
}

export type FuseClass = new (
  mountPoint: string,
  callbacks: NameCallbacks & FileCallbacks,
  options: FuseOptions,
) => { mount(done: (error: Error | null) => void): void }

/**
 * Throws what loading says. The package wants libfuse.so.2 from the system, which few have, and brings it with it under another name: loaded
 * before, by whatever name, it is the one that is found.
 */
export async function loadFuse(): Promise<FuseClass> {
  const require = createRequire(import.meta.url)
  const fromPackage = createRequire(require.resolve('fuse-native'))
  const { lib } = fromPackage('fuse-shared-library') as { lib: string }
  const { default: koffi } = await import('koffi')
  koffi.load(lib, { global: true })
  return require('fuse-native') as FuseClass
}
