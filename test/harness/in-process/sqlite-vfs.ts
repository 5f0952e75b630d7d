import init from '@sqlite.org/sqlite-wasm'
import { errorCode } from '../../../src/util/errors.ts'
import { Random } from '../random.ts'
import { FileLock, SharedMemory } from './locks.ts'
import type { VfsFile, VfsFiles } from './vfs-files.ts'

/** SQLite compiled to WebAssembly, with a VFS whose files belong to an engine of the test. */

export const sqlite = await init()
const { capi, wasm } = sqlite

export const VFS = 'in-process'
const IOERR_DELETE_NOENT = capi.SQLITE_IOERR | (23 << 8)
/** Set as on Linux. Without it SQLite pads commits to sectors. */
const POWERSAFE_OVERWRITE = 0x1000
const JOURNAL_TYPES = capi.SQLITE_OPEN_MAIN_JOURNAL | capi.SQLITE_OPEN_SUPER_JOURNAL | capi.SQLITE_OPEN_WAL

/** The file system that a path of the VFS belongs to. */
export interface VfsEngine {
  readonly options: { readonly powersafeOverwrite?: boolean; readonly sectorSizeBytes?: number }
  readonly files: VfsFiles
  readonly locks: Map<string, FileLock>
  readonly shared: Map<string, SharedMemory>
  /** An error that is no operating error: a bug for the test to report. */
  failure: unknown
  /** The last operating error that reached SQLite. */
  lastError: unknown
  /** The connection that is running a statement. */
  readonly current: object | undefined
}

interface OpenFile {
  readonly engine: VfsEngine
  readonly path: string
  readonly file: VfsFile
  /** The connection that opened it. */
  readonly owner: object | undefined
  /** A new journal: its first sync also syncs the directory. */
  syncName: boolean
}

const engines = new Map<string, VfsEngine>()
const openFiles = new Map<number, OpenFile>()

/** Registers `engine` as a file system of the VFS, and returns the prefix of its paths. */
export function register(engine: VfsEngine): string {
  const prefix = `/${engines.size + 1}/`
  engines.set(prefix, engine)
  return prefix
}

/** The end of a killed process: its locks are released and its descriptors closed, and nothing else happens. */
export function killFilesOf(owner: object): void {
  for (const [pointer, open] of openFiles) {
    if (open.owner !== owner) continue
    release(pointer, open)
    openFiles.set(pointer, { ...open, file: DEAD })
  }
}

function lockOf(engine: VfsEngine, path: string): FileLock {
  return getOr(engine.locks, path, () => new FileLock())
}

/** A file of a dead process. SQLite's own clean-up must not reach anything. */
const dead = (): never => {
  throw Object.assign(new Error('the process is dead'), { code: 'EIO', syscall: 'none', errno: -5 })
}
const DEAD: VfsFile = { read: dead, write: dead, truncate: dead, sync: dead, size: dead, close: () => {} }

function release(pointer: number, { engine, path, file }: OpenFile): void {
  const holder = holderOf(pointer)
  lockOf(engine, path).unlock(holder, 0)
  leaveShared(engine, path, holder)
  file.close()
}

function leaveShared(engine: VfsEngine, path: string, holder: object): void {
  const shared = engine.shared.get(path)
  if (shared === undefined) return
  shared.leave(holder)
  if (shared.users.size > 0) return
  for (const region of shared.regions) wasm.dealloc(region)
  engine.shared.delete(path)
}

const holders = new Map<number, object>()
function holderOf(pointer: number): object {
  return getOr(holders, pointer, () => ({ pointer }))
}

/** Runs `work` for SQLite. An operating error becomes `code`; any other error is also recorded for the test. */
function guard(engine: VfsEngine, code: number, work: () => number | void): number {
  try {
    return work() ?? 0
  } catch (error) {
    const name = errorCode(error)
    engine.lastError = error
    if (name === 'ENOSPC') return capi.SQLITE_FULL
    const isOperating = name !== undefined && (/^E[A-Z]+$/.test(name) || name.startsWith('LOG_'))
    if (!isOperating) engine.failure ??= error
    return code
  }
}

function at(pointer: unknown): OpenFile {
  const open = openFiles.get(pointer as number)
  if (open === undefined) throw new Error('SQLite uses a file that is not open')
  return open
}

function named(pointer: unknown): { engine: VfsEngine; path: string } {
  const full = wasm.cstrToJs(pointer as never) as string
  const end = full.indexOf('/', 1) + 1
  const engine = engines.get(full.slice(0, end))
  if (engine === undefined) throw new Error(`no file system for ${full}`)
  return { engine, path: full.slice(end) }
}

const bytes = (pointer: unknown, length: number): Uint8Array => {
  const heap = wasm.heap8u()
  return heap.subarray(pointer as number, (pointer as number) + length)
}
const poke = (pointer: unknown, value: number | bigint, type: 'i32' | 'i64' | 'double') =>
  void wasm.poke(pointer as never, value as never, type)

const ioMethods = new capi.sqlite3_io_methods()
Object.assign(ioMethods, { $iVersion: 2 })
const vfs = new capi.sqlite3_vfs()
Object.assign(vfs, { $iVersion: 2, $szOsFile: 4, $mxPathname: 1024 })

type Pointer = number
const io = {
  xClose(file: Pointer) {
    const open = at(file)
    return guard(open.engine, capi.SQLITE_IOERR_CLOSE, () => {
      try {
        release(file, open)
      } finally {
        openFiles.delete(file)
        holders.delete(file)
      }
    })
  },
  xRead(file: Pointer, buffer: Pointer, length: number, offset: bigint) {
    const { engine, file: open } = at(file)
    return guard(engine, capi.SQLITE_IOERR_READ, () => {
      const into = new Uint8Array(length)
      const n = open.read(into, Number(offset))
      bytes(buffer, length).set(into)
      return n < length ? capi.SQLITE_IOERR_SHORT_READ : 0
    })
  },
  xWrite(file: Pointer, buffer: Pointer, length: number, offset: bigint) {
    const { engine, file: open } = at(file)
    return guard(engine, capi.SQLITE_IOERR_WRITE, () => open.write(bytes(buffer, length).slice(), Number(offset)))
  },
  xTruncate(file: Pointer, size: bigint) {
    const { engine, file: open } = at(file)
    return guard(engine, capi.SQLITE_IOERR_TRUNCATE, () => open.truncate(Number(size)))
  },
  xSync(file: Pointer, _flags: number) {
    const open = at(file)
    return guard(open.engine, capi.SQLITE_IOERR_FSYNC, () => {
      open.file.sync()
      if (open.syncName) open.engine.files.syncDirectory(directoryOf(open.path))
      open.syncName = false
    })
  },
  xFileSize(file: Pointer, result: Pointer) {
    const { engine, file: open } = at(file)
    return guard(engine, capi.SQLITE_IOERR_FSTAT, () => poke(result, BigInt(open.size()), 'i64'))
  },
  xLock(file: Pointer, level: number) {
    const { engine, path } = at(file)
    return lockOf(engine, path).lock(holderOf(file), level) ? 0 : capi.SQLITE_BUSY
  },
  xUnlock(file: Pointer, level: number) {
    const { engine, path } = at(file)
    lockOf(engine, path).unlock(holderOf(file), level)
    return 0
  },
  xCheckReservedLock(file: Pointer, result: Pointer) {
    const { engine, path } = at(file)
    poke(result, lockOf(engine, path).reserved ? 1 : 0, 'i32')
    return 0
  },
  xFileControl: (_file: Pointer, _operation: number, _argument: Pointer) => capi.SQLITE_NOTFOUND,
  xSectorSize: (file: Pointer) => at(file).engine.options.sectorSizeBytes ?? 4096,
  xDeviceCharacteristics: (file: Pointer) =>
    at(file).engine.options.powersafeOverwrite === false ? 0 : POWERSAFE_OVERWRITE,
  xShmMap(file: Pointer, region: number, size: number, extend: number, result: Pointer) {
    const { engine, path } = at(file)
    const shared = getOr(engine.shared, path, () => new SharedMemory())
    shared.users.add(holderOf(file))
    if (shared.regions.length <= region && extend === 0) {
      poke(result, 0, 'i32')
      return 0
    }
    while (shared.regions.length <= region) {
      const pointer = wasm.alloc(size)
      bytes(pointer, size).fill(0)
      shared.regions.push(pointer)
    }
    poke(result, shared.regions[region] as number, 'i32')
    return 0
  },
  xShmLock(file: Pointer, offset: number, count: number, flags: number) {
    const { engine, path } = at(file)
    const shared = getOr(engine.shared, path, () => new SharedMemory())
    return shared.lock(holderOf(file), offset, count, flags) ? 0 : capi.SQLITE_BUSY
  },
  xShmBarrier: (_file: Pointer) => {},
  xShmUnmap(file: Pointer, _remove: number) {
    const { engine, path } = at(file)
    leaveShared(engine, path, holderOf(file))
    return 0
  },
}

const vfsMethods = {
  xOpen(_vfs: Pointer, name: Pointer, file: Pointer, flags: number, outFlags: Pointer) {
    const { engine, path } = named(name)
    return guard(engine, capi.SQLITE_CANTOPEN, () => {
      const create = (flags & capi.SQLITE_OPEN_CREATE) !== 0
      const exclusive = (flags & capi.SQLITE_OPEN_EXCLUSIVE) !== 0
      const isNew = create && engine.files.sizeOf(path) === undefined
      const readOnly = (flags & capi.SQLITE_OPEN_READONLY) !== 0
      const opened = engine.files.open(path, { create, exclusive, readOnly })
      const syncName = isNew && (flags & JOURNAL_TYPES) !== 0
      openFiles.set(file, { engine, path, file: opened, owner: engine.current, syncName })
      poke(file, ioMethods.pointer, 'i32')
      if (outFlags !== 0) poke(outFlags, flags, 'i32')
    })
  },
  xDelete(_vfs: Pointer, name: Pointer, syncDirectory: number) {
    const { engine, path } = named(name)
    return guard(engine, capi.SQLITE_IOERR_DELETE, () => {
      if (engine.files.sizeOf(path) === undefined) return IOERR_DELETE_NOENT
      engine.files.unlink(path)
      if (syncDirectory !== 0) engine.files.syncDirectory(directoryOf(path))
      return 0
    })
  },
  /** An empty file counts as missing, as on Unix. */
  xAccess(_vfs: Pointer, name: Pointer, _flags: number, result: Pointer) {
    const { engine, path } = named(name)
    return guard(engine, capi.SQLITE_IOERR_ACCESS, () =>
      poke(result, (engine.files.sizeOf(path) ?? 0) > 0 ? 1 : 0, 'i32'),
    )
  },
  xFullPathname(_vfs: Pointer, name: Pointer, _length: number, out: Pointer) {
    const text = Buffer.from(`${wasm.cstrToJs(name as never) as string}\0`)
    bytes(out, text.length).set(text)
    return 0
  },
  xRandomness(_vfs: Pointer, length: number, out: Pointer) {
    const into = bytes(out, length)
    for (let i = 0; i < length; i++) into[i] = randomness.integer(0, 255)
    return length
  },
  xSleep: (_vfs: Pointer, _microseconds: number) => 0,
  xCurrentTime(_vfs: Pointer, out: Pointer) {
    poke(out, 2_461_000.5, 'double')
    return 0
  },
  xCurrentTimeInt64(_vfs: Pointer, out: Pointer) {
    poke(out, 212_630_443_200_000n, 'i64')
    return 0
  },
}

/** SQLite seeds its random generator once, with the same seed in each run. */
const randomness = new Random(1)

sqlite.vfs.installVfs({
  io: { struct: ioMethods, methods: io as never },
  vfs: { struct: vfs, methods: vfsMethods, name: VFS },
})

function directoryOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}

function getOr<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) map.set(key, (value = make()))
  return value
}
