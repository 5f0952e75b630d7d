/**
 * What ltxd derives from a database is as secret as the database. These are the modes of every file and directory that
 * it makes for itself. Whoever may read more is said in the configuration (`data.mode`, `backup.mode`).
 */

import type { Stats } from 'node:fs'
import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { errorCode } from './errors.ts'

export interface Modes {
  readonly directory: number
  readonly file: number
}

/** Only the user that runs ltxd. */
export const PRIVATE: Modes = { directory: 0o700, file: 0o600 }

const PERMISSIONS = 0o777
const OTHERS = 0o077
/** Set-user-id, set-group-id, sticky. */
const SPECIAL = 0o7000

/** The modes that follow from the mode of a directory: its files have it without the right to execute. */
export function modesOf(directory: number): Modes {
  return { directory, file: directory & 0o666 }
}

/** Wider modes than PRIVATE are what the configuration says, whatever the umask. */
export const isWider = (mode: number) => (mode & OTHERS) !== 0

export function createSync(path: string, flags: number, mode: number): number {
  const fd = fs.openSync(path, flags, mode)
  if (isWider(mode) && (flags & fs.constants.O_CREAT) !== 0) widen(() => fs.fchmodSync(fd, mode))
  return fd
}

export async function create(path: string, flags: string, mode: number): Promise<FileHandle> {
  const handle = await fs.promises.open(path, flags, mode)
  if (isWider(mode)) await handle.chmod(mode).catch(unlessNotOwner)
  return handle
}

/** Makes a directory and its missing parents. */
export function makeDirectorySync(path: string, mode: number): void {
  if (!isWider(mode)) return void fs.mkdirSync(path, { recursive: true, mode })
  let made: string | undefined
  for (let at = path; !fs.existsSync(at); at = at.slice(0, at.lastIndexOf('/')) || '/') made = at
  if (made === undefined) return
  fs.mkdirSync(path, { recursive: true, mode })
  for (let at = path; at.length >= made.length; at = at.slice(0, at.lastIndexOf('/')) || '/') fs.chmodSync(at, mode)
}

/** Copies in the kernel, sharing blocks where the file system can. `fs.copyFile` alone gives the source's mode. */
export function copySync(from: string, to: string, mode: number): void {
  fs.copyFileSync(from, to, fs.constants.COPYFILE_FICLONE)
  fs.chmodSync(to, mode)
}

export interface Changed {
  /** How the directory itself was. */
  readonly mode: number
  /** How many files and directories have another mode now. */
  readonly count: number
  /** Something belongs to another user, and is as it was. */
  readonly isForeign: boolean
}

/**
 * Gives a directory, and all that this user owns in it (root: all), their modes; undefined if that changed nothing. A
 * directory gets its mode after what is in it, so one that has it is not read again. `except` names an entry of the
 * directory that is left alone. Symbolic links below the directory are not followed.
 */
export function applyModes(dir: string, modes: Modes, except?: string): Changed | undefined {
  const walk = new ModeWalk(dir, modes, except)
  Array.from(walk.steps())
  return walk.changed()
}

/** The same, beside other work. */
export async function applyModesMeanwhile(dir: string, modes: Modes): Promise<Changed | undefined> {
  const walk = new ModeWalk(dir, modes)
  for (const _ of walk.steps()) await setImmediate()
  return walk.changed()
}

class ModeWalk {
  readonly #dir: string
  readonly #stats: Stats
  readonly #modes: Modes
  readonly #except: string | undefined
  readonly #uid = process.geteuid?.() ?? 0
  #count = 0
  #isForeign = false

  constructor(dir: string, modes: Modes, except?: string) {
    this.#dir = dir
    this.#stats = fs.statSync(dir)
    this.#modes = modes
    this.#except = except
  }

  changed(): Changed | undefined {
    const count = this.#count
    const isForeign = this.#isForeign
    return count === 0 && !isForeign ? undefined : { mode: this.#stats.mode & PERMISSIONS, count, isForeign }
  }

  /** Yields after each directory. */
  *steps(path = this.#dir, stats = this.#stats): Generator<undefined> {
    const isTop = path === this.#dir
    const wanted = stats.isDirectory() ? this.#modes.directory : this.#modes.file
    if ((stats.mode & PERMISSIONS) === wanted) return
    for (const name of stats.isDirectory() ? this.#list(path) : []) {
      if (isTop && name === this.#except) continue
      const entry = fs.lstatSync(`${path}/${name}`, { throwIfNoEntry: false })
      if (entry?.isDirectory() === true || entry?.isFile() === true) yield* this.steps(`${path}/${name}`, entry)
    }
    if (stats.isDirectory()) yield
    if (this.#uid === 0 || stats.uid === this.#uid) this.#change(path, !isTop, wanted)
    else if ((stats.mode & OTHERS & ~wanted) !== 0) this.#isForeign = true
  }

  #list(path: string): string[] {
    try {
      return fs.readdirSync(path)
    } catch (error) {
      if (!isElsewhere(error)) throw error
      return []
    }
  }

  /** Through a descriptor: the name may be another file's by now. */
  #change(path: string, isBelow: boolean, wanted: number): void {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
    try {
      const fd = fs.openSync(path, O_RDONLY | O_NONBLOCK | (isBelow ? O_NOFOLLOW : 0))
      try {
        fs.fchmodSync(fd, (fs.fstatSync(fd).mode & SPECIAL) | wanted)
        this.#count++
      } finally {
        fs.closeSync(fd)
      }
    } catch (error) {
      if (!isElsewhere(error)) throw error
    }
  }
}

/** Another process removed or replaced it meanwhile, or it is closed to this user. */
function isElsewhere(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM'].includes(errorCode(error) ?? '')
}

/** In one line. `key` is the configuration's key for another mode. */
export function describeChange(what: string, changed: Changed, modes: Modes, key: string): string {
  const [from, to] = [changed.mode, modes.directory].map((mode) => mode.toString(8).padStart(4, '0'))
  const foreign = `something in it belongs to another user and stays as it is`
  if (changed.count === 0) return `${what} has mode ${from}, and ${foreign}: make its owner narrow it to ${to}`
  return (
    `${what} had mode ${from}: it and what ltxd made in it have ${to} now (${key} sets another)` +
    (changed.isForeign ? `, but ${foreign}` : '')
  )
}

function widen(change: () => void): void {
  try {
    change()
  } catch (error) {
    unlessNotOwner(error)
  }
}

/** Another user's file that existed already keeps its mode. */
function unlessNotOwner(error: unknown): void {
  if (errorCode(error) !== 'EPERM') throw error
}
