/**
 * The interface between the tree (tree.ts), which owns names, attributes and handles, and the owner of the bytes. A
 * FileContent owns one regular file's data. A Volume decides which content a path gets, and sees each change of a name.
 * Everything is synchronous: this is the data plane, which never awaits. An operation is rejected by throwing an
 * FsError (errno.ts), whose errno reaches the application.
 */

/**
 * The caller, from the FUSE request header. `tid` is the thread's id; 0 if the kernel itself is the caller (write-back
 * of a mapping).
 */
export interface Caller {
  readonly tid: number
  readonly uid: number
  readonly gid: number
}

/** An operation that another thread completes and then answers. */
export interface HeldReply {
  /** The request's unique number, as two words. */
  answerTo(uniqueLow: number, uniqueHigh: number): void
}

export interface FileContent {
  /**
   * A handle was opened. If this throws, there is no such handle; if it was to be the first one, `released` follows
   * all the same. `flags` are those of open(2). The tree leaves O_TRUNC to the content.
   */
  opened(flags: number, caller: Caller): void
  /** Reads up to `length` bytes at `position` of the file into `into` at `at`; returns how many (0 at the end). */
  read(into: Uint8Array, at: number, length: number, position: number): number
  /**
   * Writes all of `data`, or throws. `data` is only valid during the call. `handle`: through which of the file's
   * handles.
   */
  write(data: Uint8Array, position: number, caller: Caller, handle?: number): void
  truncate(sizeBytes: number, caller: Caller): void
  /** fsync or fdatasync. A returned reply still has to be given the request that it answers. */
  sync(dataOnly: boolean): HeldReply | undefined
  /** The size that applications see, where that is not the backing file's: while another content is written. */
  sizeBytes?(): number | undefined
  /** Whether what the kernel has cached of the file is not its content. True once: the next open drops the cache. */
  takeStale?(): boolean
  /** A handle was closed; `openHandles` remain on the file, `openWriters` of them writable. */
  released(flags: number, openHandles: number, openWriters: number): void
}

/** For names that change without a request of the kernel's, which may have cached them. */
export interface VolumeNames {
  /** Removes the name. Within any call of the volume but `unlink`. */
  readonly remove: (path: string) => void
  /** The volume has made a file of that name. */
  readonly made: (path: string) => void
}

export interface Volume {
  /** Called once: the volume may then change names by itself. */
  attach?(names: VolumeNames): void
  /**
   * The content of the regular file at `path` (relative to the mount, normalized, no leading slash). `fd` is the tree's
   * one backing descriptor of that file, open for reading and writing while any handle is, closed by the tree after the
   * last `released`.
   */
  content(path: string, fd: number): FileContent
  /** A regular file is about to be removed. The volume calls `perform`, which removes it, and acts before and after. */
  unlink(path: string, perform: () => void, caller: Caller): void
  /** A file or directory is about to be renamed; an existing target is replaced. `isOpen`: the file is open. */
  rename(from: string, to: string, isDirectory: boolean, perform: () => void, caller: Caller, isOpen?: boolean): void
  /** A hard link to the file is rejected: the volume may say why. Throws FsError. */
  link?(path: string, caller: Caller): never
  /** The owner or the mode of a regular file has changed. */
  ownerChanged?(path: string): void
  /** A directory is fsynced. The volume may call `perform`, which fsyncs the backing directory. */
  syncDirectory(path: string, perform: () => void): void
}
