/**
 * What the mount asks of whoever owns the bytes. The tree (tree.ts) owns names, attributes and handles;
 * a FileContent owns one regular file's data; a Volume decides which content a path gets and sees each
 * change of a name. All of it is synchronous: this is the data plane, which never awaits.
 * A refusal is a thrown FsError (errno.ts), whose errno reaches the application.
 */

/** Who asks: from the FUSE request header. `tid` is the thread's id; 0 when the kernel itself asks (write-back of a mapping). */
export interface Caller {
  readonly tid: number
  readonly uid: number
  readonly gid: number
}

/** The end of an operation that another thread waits for, and which it then answers. */
export interface HeldReply {
  /** The request's unique number, as two words. */
  answerTo(uniqueLow: number, uniqueHigh: number): void
}

export interface FileContent {
  /** A handle was opened. May refuse; then no `released` follows. `flags` are the open(2) flags; O_TRUNC is not among what the tree does by itself: content truncates. */
  opened(flags: number, caller: Caller): void
  /** Reads up to `length` bytes at `position` of the file into `into` at `at`; returns how many (0 at the end). */
  read(into: Uint8Array, at: number, length: number, position: number): number
  /** Writes all of `data`, or throws. `data` is only valid during the call. `handle`: through which of the file's handles. */
  write(data: Uint8Array, position: number, caller: Caller, handle?: number): void
  truncate(sizeBytes: number, caller: Caller): void
  /** fsync or fdatasync. What is returned is still to be told whom to answer when it is done. */
  sync(dataOnly: boolean): HeldReply | undefined
  /** A handle was closed; `openHandles` remain on the file, `openWriters` of them writable. */
  released(flags: number, openHandles: number, openWriters: number): void
}

export interface Volume {
  /**
   * The content of the regular file at `path` (relative to the mount, normalized, no leading slash). `fd` is the tree's
   * one backing descriptor of that file, open for reading and writing while any handle is, closed by the tree after the last `released`.
   */
  content(path: string, fd: number): FileContent
  /** A regular file is about to be removed: do what must come first, call `perform` (which does it), do what comes after. */
  unlink(path: string, perform: () => void, caller: Caller): void
  /** A file or directory is about to get another name; a target that exists is replaced. */
  rename(from: string, to: string, isDirectory: boolean, perform: () => void, caller: Caller): void
  /** A directory is fsynced: call `perform` to do it on the backing directory, or not. */
  syncDirectory(path: string, perform: () => void): void
}
