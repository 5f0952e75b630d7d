/**
 * The typed operations between the kernel's messages (operations.ts) and a file system (tree.ts). All of them are
 * synchronous. A rejected operation throws an FsError; a failure of the backing file system throws its system error.
 */

import type { Caller, HeldReply } from './content.ts'

/** Identifies a file to the kernel; 1 is the root. Never reused while the kernel remembers it. */
export type NodeId = number

/** The result of stat(2); Node's Stats is one. Times are milliseconds since 1970. */
export interface Attributes {
  readonly ino: number
  readonly size: number
  readonly blocks: number
  readonly atimeMs: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  readonly blksize: number
  /** The attributes change without the kernel's knowledge, so it must not cache them. */
  readonly uncached?: true
}

/**
 * A name that was found, which counts as one lookup to be forgotten later. `cached`: the kernel may cache name and
 * attributes without a time limit. False for what changes without the kernel's knowledge.
 */
export interface Entry {
  readonly nodeId: NodeId
  readonly attributes: Attributes
  readonly cached: boolean
}

/**
 * An open handle. `cached`: reads go through the page cache, which survives the open; otherwise each read is a request.
 * `isStale`: what the page cache has of the file is not its content. `modeChanged`: set-id bits were removed.
 */
export interface Opened {
  readonly handle: number
  readonly cached: boolean
  readonly isStale?: boolean
  readonly modeChanged: boolean
}

export interface Created {
  readonly entry: Entry
  readonly opened: Opened
}

/** What SETATTR may change; times are seconds since 1970. */
export interface AttributeChange {
  mode?: number
  uid?: number
  gid?: number
  sizeBytes?: number
  atime?: number
  mtime?: number
  /** The handle through which the size changes (ftruncate); absent if the file was named. */
  handle?: number
  /** The change removes set-user-id and set-group-id bits. */
  killPrivileges?: boolean
}

export interface FileSystemStatistics {
  readonly bsize: number
  readonly blocks: number
  readonly bfree: number
  readonly bavail: number
  readonly files: number
  readonly ffree: number
}

/** Accepts directory entries until it is full. `cookie` is where a later call continues. */
export interface DirectorySink {
  fits(nameBytes: number): boolean
  add(name: string, nameBytes: number, ino: number, mode: number, cookie: number, entry: Entry | undefined): void
}

export interface FileSystem {
  /**
   * undefined if the name does not exist, and the kernel may remember that. Throws ENOENT if the kernel must ask again.
   */
  lookup(parent: NodeId, name: string): Entry | undefined
  forget(node: NodeId, lookups: number): void
  getAttributes(node: NodeId): Attributes
  setAttributes(node: NodeId, change: AttributeChange, caller: Caller): Attributes
  readLink(node: NodeId): Uint8Array
  makeSymlink(parent: NodeId, name: string, target: string, caller: Caller): Entry
  makeNode(parent: NodeId, name: string, mode: number, caller: Caller): Entry
  makeDirectory(parent: NodeId, name: string, mode: number, caller: Caller): Entry
  unlink(parent: NodeId, name: string, caller: Caller): void
  removeDirectory(parent: NodeId, name: string): void
  /** A hard link to the file is rejected. */
  link(id: NodeId, caller: Caller): never
  rename(parent: NodeId, name: string, newParent: NodeId, newName: string, noReplace: boolean, caller: Caller): void
  open(node: NodeId, flags: number, killPrivileges: boolean, caller: Caller): Opened
  /** Creates and opens a regular file; an existing file is only opened, unless O_EXCL is set. */
  create(parent: NodeId, name: string, flags: number, mode: number, caller: Caller): Created
  /** Reads into `into` at `at`. Returns the number of bytes. */
  read(handle: number, into: Uint8Array, at: number, length: number, position: number): number
  /** Writes all of `data`, which is valid only during the call. Returns whether set-id bits were removed. */
  write(handle: number, data: Uint8Array, position: number, killPrivileges: boolean, caller: Caller): boolean
  release(handle: number): void
  /** As FileContent.sync. */
  sync(handle: number, dataOnly: boolean): HeldReply | undefined
  syncDirectory(node: NodeId): void
  /** Entries after `cookie` (0: from the start). With `withEntries` each but `.` and `..` is looked up as well. */
  readDirectory(node: NodeId, cookie: number, withEntries: boolean, sink: DirectorySink): void
  statistics(): FileSystemStatistics
}
