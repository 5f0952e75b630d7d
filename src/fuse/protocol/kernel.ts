/**
 * The kernel's side of the protocol: numbers and struct layouts of /usr/include/linux/fuse.h (package linux-libc-dev),
 * protocol 7.38. Offsets are bytes from the start of each struct. Everything is in the host's byte order, and every
 * struct is a multiple of eight bytes long, so that all fields are aligned.
 */

export const KERNEL_MAJOR = 7
export const KERNEL_MINOR = 38
/** 7.31 (Linux 5.4) is the first with all needed flags: MAX_PAGES, NO_OPENDIR_SUPPORT, EXPLICIT_INVAL_DATA. */
export const OLDEST_MINOR = 31

export const ROOT_ID = 1
/** Reserved by this driver: the file behind doorbell.ts. */
export const DOORBELL_ID = 2
export const PAGE_SIZE = 4096
/** The largest READ and WRITE, which decides the size of both buffers. */
export const MAX_TRANSFER = 1 << 20

export const OPCODE = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
} as const

export type OpcodeName = keyof typeof OPCODE

/** Codes of notifications, which the file system sends in the error field of the reply header. */
export const NOTIFY = { INVAL_INODE: 2, INVAL_ENTRY: 3, STORE: 4, RETRIEVE: 5 } as const

export const INIT_FLAG = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  BIG_WRITES: 1 << 5,
  FLOCK_LOCKS: 1 << 10,
  DO_READDIRPLUS: 1 << 13,
  WRITEBACK_CACHE: 1 << 16,
  PARALLEL_DIROPS: 1 << 18,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  NO_OPENDIR_SUPPORT: 1 << 24,
  EXPLICIT_INVAL_DATA: 1 << 25,
  HANDLE_KILLPRIV_V2: 1 << 28,
} as const

export const SETATTR_VALID = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  HANDLE: 1 << 6,
  KILL_SUIDGID: 1 << 11,
} as const

export const OPEN_REPLY = { DIRECT_IO: 1 << 0, KEEP_CACHE: 1 << 1 } as const
export const OPEN_KILL_SUIDGID = 1 << 0
export const WRITE_KILL_SUIDGID = 1 << 2
export const FSYNC_DATA_ONLY = 1 << 0

/** struct fuse_in_header: before each request. `pid` is the id of the calling thread. */
export const IN_HEADER = { SIZE: 40, len: 0, opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28, pid: 32 } as const
/** struct fuse_out_header: before each reply and each notification. */
export const OUT_HEADER = { SIZE: 16, len: 0, error: 4, unique: 8 } as const

/** struct fuse_attr. */
export const ATTR = {
  SIZE: 88,
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  flags: 84,
} as const

export const ENTRY_OUT = {
  SIZE: 128,
  nodeid: 0,
  generation: 8,
  entry_valid: 16,
  attr_valid: 24,
  entry_valid_nsec: 32,
  attr_valid_nsec: 36,
  attr: 40,
} as const

export const ATTR_OUT = { SIZE: 104, attr_valid: 0, attr_valid_nsec: 8, attr: 16 } as const
export const OPEN_OUT = { SIZE: 16, fh: 0, open_flags: 8 } as const
export const WRITE_OUT = { SIZE: 8, size: 0 } as const

/** struct fuse_dirent; the name follows, and the whole is padded to eight bytes. */
export const DIRENT = { SIZE: 24, ino: 0, off: 8, namelen: 16, type: 20 } as const

/** struct fuse_kstatfs. */
export const STATFS_OUT = {
  SIZE: 80,
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
} as const

/** The fields of 7.31. Since 7.36 the struct has 64 bytes; ltxd does not use the rest. */
export const INIT_IN = { SIZE: 16, major: 0, minor: 4, max_readahead: 8, flags: 12 } as const
export const INIT_OUT = {
  SIZE: 64,
  major: 0,
  minor: 4,
  max_readahead: 8,
  flags: 12,
  max_background: 16,
  congestion_threshold: 18,
  max_write: 20,
  time_gran: 24,
  max_pages: 28,
} as const

export const FORGET_IN = { SIZE: 8, nlookup: 0 } as const
export const BATCH_FORGET_IN = { SIZE: 8, count: 0 } as const
export const FORGET_ONE = { SIZE: 16, nodeid: 0, nlookup: 8 } as const

export const SETATTR_IN = {
  SIZE: 88,
  valid: 0,
  fh: 8,
  size: 16,
  atime: 32,
  mtime: 40,
  atimensec: 56,
  mtimensec: 60,
  mode: 68,
  uid: 76,
  gid: 80,
} as const

export const MKNOD_IN = { SIZE: 16, mode: 0 } as const
export const MKDIR_IN = { SIZE: 8, mode: 0 } as const
export const LINK_IN = { SIZE: 8, oldnodeid: 0 } as const
export const RENAME_IN = { SIZE: 8, newdir: 0 } as const
export const RENAME2_IN = { SIZE: 16, newdir: 0, flags: 8 } as const
export const OPEN_IN = { SIZE: 8, flags: 0, open_flags: 4 } as const
export const CREATE_IN = { SIZE: 16, flags: 0, mode: 4, open_flags: 12 } as const
export const READ_IN = { SIZE: 40, fh: 0, offset: 8, size: 16 } as const
export const WRITE_IN = { SIZE: 40, fh: 0, offset: 8, size: 16, write_flags: 20 } as const
export const RELEASE_IN = { SIZE: 24, fh: 0, flags: 8 } as const
export const FSYNC_IN = { SIZE: 16, fh: 0, fsync_flags: 8 } as const
export const INTERRUPT_IN = { SIZE: 8, unique: 0 } as const

export const NOTIFY_INVAL_INODE_OUT = { SIZE: 24, ino: 0, off: 8, len: 16 } as const
export const NOTIFY_INVAL_ENTRY_OUT = { SIZE: 16, parent: 0, namelen: 8, flags: 12 } as const
export const NOTIFY_STORE_OUT = { SIZE: 24, nodeid: 0, offset: 8, size: 16 } as const
export const NOTIFY_RETRIEVE_OUT = { SIZE: 32, notify_unique: 0, nodeid: 8, offset: 16, size: 24 } as const
