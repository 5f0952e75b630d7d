/**
 * File operations below one directory that follow no symbolic link, in any component of a name. The names below it come
 * from others: an application renames a directory, or makes a link, while another thread or process uses the name.
 *
 * Each component is opened with O_NOFOLLOW, relative to the descriptor of the one before, as openat(2) does. Node has
 * no openat, but `/proc/self/fd/N/NAME` names the same file. So a directory that is swapped for a link is an error at
 * any moment, and never a way out (docs/decisions/028-no-link-is-followed.md).
 */

import fs from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { errorCode, LtxdError } from './errors.ts'
import { type Files, filesWith } from './files.ts'
import { groupIn, letIn } from './group.ts'
import { O_PATH } from './named-directory.ts'
import { giveTo, type Owner } from './owner.ts'
import { listNames, native } from './path-bytes.ts'
import { isWider, type Modes, PRIVATE } from './private-files.ts'

const { O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants
const DIRECTORY = O_DIRECTORY | O_NOFOLLOW
const TREE = { recursive: true, force: true }

/** A name is a symbolic link, or is reached through one. */
export class LinkedNameError extends LtxdError {
  constructor(path: string, link: string, root: string) {
    const found = link === path ? 'is a symbolic link' : `is reached through the symbolic link ${link}`
    super('NAME_IS_LINK', `${path} ${found}. Below ${root} none is followed: replace the link by what it names`)
  }
}

/** A name is a directory, a pipe, a socket or a device. */
export class NotRegularError extends LtxdError {
  constructor(path: string, found: fs.Stats) {
    super('NOT_REGULAR', `${path} is ${kindOf(found)}, and a regular file was expected: move it away`)
  }
}

/**
 * Every path is absolute and lies below the directory, or is the directory. `open` opens regular files only, and never
 * waits for the other end of a pipe. `exists` is false for a name that is a link, is reached by one, or lies elsewhere;
 * `status` throws. To unlink a link removes the link.
 */
export interface FilesBeneath extends Files {
  /** Links on the way to the directory itself are followed: the operator names it. */
  readonly root: string
  /** Of new files and directories. */
  readonly modes: Modes
  /**
   * The same file by the directory that is held, for what takes a path. Only where nobody else makes names: links below
   * the directory are followed.
   */
  at(path: string): string
  /**
   * With its missing parents. `mode` is subject to the umask, as other programs' directories are. `made` gets an O_PATH
   * descriptor of each directory that was made, before anything is made in it.
   */
  makeDirectory(path: string, mode?: number, made?: (fd: number, path: string) => void): void
  /** Removes a file, or a directory with what is in it, if there is one. A link there is removed, and not followed. */
  removeTree(path: string): void
  /** For fsync. */
  openDirectory(path: string): number
  /** Gives a regular file to `owner` through a descriptor. Returns why that was not possible: see giveTo. */
  setOwner(path: string, owner: Partial<Owner>): string | undefined
}

/**
 * `modes`: of new files and directories. `base`: another path of the same directory, see pinned(). The operations throw
 * LinkedNameError and NotRegularError.
 */
export function filesBeneath(root: string, modes: Modes = PRIVATE, base = root): FilesBeneath {
  const files = filesWith(modes)
  const within = <T>(path: string, use: (path: string) => T) => resolveBeneath(root, path, use, base)

  const status = (path: string) =>
    unlessMissing(() =>
      within(path, (at) => {
        const found = fs.lstatSync(native(at))
        if (found.isSymbolicLink()) throw new LinkedNameError(path, path, root)
        return found
      }),
    )

  const open = (path: string, flags: number, mode?: number) =>
    within(path, (at) => {
      const before = fs.lstatSync(native(at), { throwIfNoEntry: false })
      if (before?.isSymbolicLink() === true) throw new LinkedNameError(path, path, root)
      // Opening a pipe or a device can wait, or do something. O_EXCL has its own answer to whatever is there.
      if (before?.isFile() === false && (flags & O_EXCL) === 0) throw new NotRegularError(path, before)
      try {
        return regular(path, files.open(at, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode))
      } catch (error) {
        // It has become one since.
        throw errorCode(error) === 'ELOOP' ? new LinkedNameError(path, path, root) : error
      }
    })

  const withDirectory = <T>(path: string, flags: number, use: (fd: number) => T) =>
    within(path, (at) => withDescriptor(openDirectory(at, path, root, flags), use))

  return {
    ...files,
    root,
    modes,
    at: (path) => base + path.slice(root.length),
    status,
    open,
    exists: (path) => whereNamed(() => status(path)) !== undefined,
    list: (path) => unlessMissing(() => withDirectory(path, O_PATH, (fd) => listNames(`/proc/self/fd/${fd}`))) ?? [],
    openDirectory: (path) => within(path, (at) => openDirectory(at, path, root, O_RDONLY)),
    syncDirectory: (path) => withDirectory(path, O_RDONLY, (fd) => fs.fsyncSync(fd)),
    makeDirectory: (path, mode, made) => makeDirectories(root, base, path, modes, mode, made),
    removeDirectory: (path) => within(path, (at) => files.removeDirectory(at)),
    unlink: (path) => within(path, (at) => files.unlink(at)),
    remove: (path) => unlessMissing(() => within(path, (at) => files.unlink(at))),
    removeTree: (path) => unlessMissing(() => within(path, (at) => fs.rmSync(native(at), TREE))),
    rename: (from, to) => within(from, (fromAt) => within(to, (toAt) => files.rename(fromAt, toAt))),
    setOwner: (path, owner) =>
      within(path, (at) =>
        // O_PATH opens nothing, so the file system hears of no open.
        withDescriptor(fs.openSync(native(at), O_PATH | O_NOFOLLOW), (fd) => {
          const found = fs.fstatSync(fd)
          if (found.isSymbolicLink()) throw new LinkedNameError(path, path, root)
          if (!found.isFile()) throw new NotRegularError(path, found)
          return giveTo(fd, owner)
        }),
      ),
  }
}

/**
 * A path that names the directory `root` until this process ends, also after a directory above it is renamed and
 * replaced. For filesBeneath.
 */
export function pinned(root: string): string {
  // With a dot at its end: lstat would see the link in /proc.
  return `/proc/self/fd/${fs.openSync(root, O_PATH | O_DIRECTORY)}/.`
}

/**
 * Runs `use` with a path that names the directory `path` until `use` ends, whatever is renamed or replaced by a link
 * meanwhile: for work that takes a while, or takes a path. `base`: another path of `root`. Throws LinkedNameError.
 */
export async function withPinnedDirectory<T>(
  { root, base = root, path }: { root: string; base?: string; path: string },
  use: (pinned: string) => Promise<T>,
): Promise<T> {
  const fd = resolveBeneath(root, path, (at) => openDirectory(at, path, root, O_PATH), base)
  const pinned = `/proc/self/fd/${fd}`
  try {
    return await use(pinned)
  } catch (error) {
    if (error instanceof Error) error.message = error.message.replaceAll(`${pinned}/`, `${path}/`)
    throw error
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Calls `use` with a path whose directory is a descriptor, so that only its last component can still be a link. `base`:
 * another path of `root`. Throws LinkedNameError.
 */
export function resolveBeneath<T>(root: string, path: string, use: (path: string) => T, base = root): T {
  let at = base
  /** The name of the directory `at`. */
  let named = root
  let directory: number | undefined
  try {
    const names = namesBelow(root, path)
    const last = names.pop()
    for (const name of names) {
      const next = openDirectory(`${at}/${name}`, path, root, O_PATH, `${named}/${name}`)
      if (directory !== undefined) fs.closeSync(directory)
      directory = next
      at = `/proc/self/fd/${next}`
      named += `/${name}`
    }
    return use(last === undefined ? at : `${at}/${last}`)
  } catch (error) {
    throw at === named ? error : withPath(error, at, named)
  } finally {
    if (directory !== undefined) fs.closeSync(directory)
  }
}

/** Opens the directory `at`, which error messages call `named`, on the way to `path`. */
function openDirectory(at: string, path: string, root: string, flags: number, named = path): number {
  try {
    // The directory itself may be a link: it is the operator's.
    return fs.openSync(native(at), named === root ? flags | O_DIRECTORY : flags | DIRECTORY)
  } catch (error) {
    const found = errorCode(error) === 'ENOTDIR' ? fs.lstatSync(native(at), { throwIfNoEntry: false }) : undefined
    if (found?.isSymbolicLink() === true) throw new LinkedNameError(path, named, root)
    throw error
  }
}

/** Returns the descriptor, or closes it where it is of no regular file. */
function regular(path: string, fd: number): number {
  const found = fs.fstatSync(fd)
  if (found.isFile()) return fd
  fs.closeSync(fd)
  throw new NotRegularError(path, found)
}

function withDescriptor<T>(fd: number, use: (fd: number) => T): T {
  try {
    return use(fd)
  } finally {
    fs.closeSync(fd)
  }
}

function namesBelow(root: string, path: string): string[] {
  if (path === root) return []
  const prefix = root.endsWith('/') ? root : `${root}/`
  const below = path.startsWith(prefix) ? path.slice(prefix.length) : '..'
  const names = below.split('/').filter(Boolean)
  if (!names.some((name) => name === '.' || name === '..' || name.includes('\0'))) return names
  throw new LtxdError('NAME_OUTSIDE', `"${path}" is no name below ${root}`)
}

function makeDirectories(
  root: string,
  base: string,
  path: string,
  modes: Modes,
  mode: number | undefined,
  use?: (fd: number, path: string) => void,
): void {
  for (const each of ancestry(root, path)) {
    resolveBeneath(
      root,
      each,
      (at) => {
        // Not `recursive`: below a directory that was removed meanwhile, Node would try for ever.
        const isWide = mode === undefined && isWider(modes.directory)
        const first = isWide ? PRIVATE.directory : (mode ?? modes.directory)
        const made = unlessThere(() => fs.mkdirSync(native(at), first) ?? true) ?? false
        withDescriptor(openDirectory(at, each, root, O_PATH), (fd) => {
          if (!made) return
          if (isWide) letIn(fd, modes.directory, groupIn(dirname(at)))
          use?.(fd, each)
        })
      },
      base,
    )
  }
}

/**
 * A file's path without links. SQLite resolves it before it looks for a journal and a WAL beside the file. The file may
 * be missing, its directory must exist.
 */
export function resolveLinks(path: string): string {
  return unlessMissing(() => fs.realpathSync(path)) ?? join(fs.realpathSync(dirname(path)), basename(path))
}

/** The directories from below `root` to `path`. */
function ancestry(root: string, path: string): string[] {
  const names = namesBelow(root, path)
  return names.map((_, i) => `${root}/${names.slice(0, i + 1).join('/')}`)
}

const unlessMissing = <T>(run: () => T) => unless(run, 'ENOENT')
const unlessThere = <T>(run: () => T) => unless(run, 'EEXIST')
const whereNamed = <T>(run: () => T) => unless(run, 'NAME_IS_LINK', 'NAME_OUTSIDE', 'ENOTDIR')

/** undefined where it fails with one of these codes. */
function unless<T>(run: () => T, ...codes: readonly string[]): T | undefined {
  try {
    return run()
  } catch (error) {
    if (codes.includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

/** A system error names the file as the caller knows it. */
function withPath(error: unknown, descriptor: string, named: string): unknown {
  if (!(error instanceof Error) || !('path' in error)) return error
  error.message = error.message.replaceAll(descriptor, named)
  error.path = String(error.path).replaceAll(descriptor, named)
  return error
}

/** What something is that is no regular file. */
export function kindOf(found: fs.Stats): string {
  if (found.isDirectory()) return 'a directory'
  if (found.isFIFO()) return 'a named pipe'
  return found.isSocket() ? 'a socket' : 'a device'
}
