/** Types for the part of the npm package fuse-native 2.2 (libfuse 2 for Node) that the bridge uses: it has none. */

import { createRequire } from 'node:module'

/** Times are milliseconds since 1970. */
export interface FileStatus {
  readonly ino?: number
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

/** `result` is 0 or a negative errno; for reads and writes, the number of bytes or a negative errno. */
type Reply<T = void> = (result: number, value?: T) => void

/** Paths are absolute, with the mount point as their root. */
export interface AttributeCallbacks {
  getattr(name: string, reply: Reply<FileStatus>): void
  chmod(name: string, mode: number, reply: Reply): void
  chown(name: string, uid: number, gid: number, reply: Reply): void
  utimens(name: string, atimeMs: number, mtimeMs: number, reply: Reply): void
  statfs(name: string, reply: Reply<Statistics>): void
}

export interface DirectoryCallbacks {
  readdir(name: string, reply: (result: number, names?: string[], statuses?: FileStatus[]) => void): void
  fsyncdir(name: string, dataOnly: number, handle: number, reply: Reply): void
}

export interface CreationCallbacks {
  mkdir(name: string, mode: number, reply: Reply): void
  mknod(name: string, mode: number, device: number, reply: Reply): void
  symlink(target: string, name: string, reply: Reply): void
  readlink(name: string, reply: Reply<string>): void
  link(name: string, newName: string, reply: Reply): void
}

export interface RemovalCallbacks {
  unlink(name: string, reply: Reply): void
  rmdir(name: string, reply: Reply): void
  rename(from: string, to: string, reply: Reply): void
}

export type NameCallbacks = CreationCallbacks & RemovalCallbacks

/** A handle identifies an open file: the name of a removed file may be another file's, or `-`. */
export interface HandleCallbacks {
  open(name: string, flags: number, reply: Reply<number>): void
  create(name: string, mode: number, reply: Reply<number>): void
  fsync(name: string, dataOnly: number, handle: number, reply: Reply): void
  release(name: string, handle: number, reply: Reply): void
}

export interface ContentCallbacks {
  read(name: string, handle: number, into: Buffer, length: number, position: number, reply: Reply): void
  write(name: string, handle: number, data: Buffer, length: number, position: number, reply: Reply): void
  truncate(name: string, size: number, reply: Reply): void
  ftruncate(name: string, handle: number, size: number, reply: Reply): void
}

export type FileCallbacks = HandleCallbacks & ContentCallbacks

export interface FuseOptions {
  readonly timeout: false
  readonly fsname: string
  /** The package copies it into libfuse's list of options, so more options may follow it after a comma. */
  readonly subtype: string
  readonly autoCache: boolean
  readonly defaultPermissions: boolean
  readonly allowOther: boolean
}

export type FuseClass = new (
  mountPoint: string,
  callbacks: AttributeCallbacks & DirectoryCallbacks & NameCallbacks & FileCallbacks,
  options: FuseOptions,
) => {
  /** The path to mount at. */
  mnt: string
  mount(done: (error: Error | null) => void): void
}

/**
 * Throws the error of loading. The package needs libfuse.so.2, which few systems have, and includes it under another
 * name. The dynamic linker finds the included library if it was loaded before, under any name.
 */
export async function loadFuse(): Promise<FuseClass> {
  const require = createRequire(import.meta.url)
  const fromPackage = createRequire(require.resolve('fuse-native'))
  const { lib } = fromPackage('fuse-shared-library') as { lib: string }
  const { default: koffi } = await import('koffi')
  koffi.load(lib, { global: true })
  return require('fuse-native') as FuseClass
}
