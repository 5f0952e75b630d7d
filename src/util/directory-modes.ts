/** Gives a directory that exists, and what is in it, the modes that ltxd gives to new ones (private-files.ts). */

import type { Stats } from 'node:fs'
import fs from 'node:fs'
import { basename } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { errorCode } from './errors.ts'
import { type FilesBeneath, filesBeneath } from './files-beneath.ts'
import { type Group, groupIn, letIn } from './group.ts'
import { isOurs } from './owner.ts'
import { isWider, lockMode, type Modes } from './private-files.ts'

const PERMISSIONS = 0o777
const OTHERS = 0o077
/** Set-user-id, set-group-id, sticky. */
const SPECIAL = 0o7000
/** The files that ltxd locks in a data directory and in a backup. */
const LOCKS: ReadonlySet<string> = new Set(['lock', '.ltxd-lock'])

export interface Changed {
  /** How the directory itself was. */
  readonly mode: number
  /** How many files and directories have another mode now. */
  readonly count: number
  /** Something belongs to another user, or is a hard link, and is as it was. */
  readonly isForeign: boolean
}

/**
 * Gives a directory, and all that this user owns in it (root: all), their modes; undefined if that changed nothing. A
 * directory gets its mode after what is in it, so one that has it is not read again. `base` is another path of the
 * directory, by which it is held. Symbolic links below the directory are not followed.
 */
export function applyModes(dir: string, modes: Modes, base: string, limits: Limits = {}): Changed | undefined {
  const walk = new ModeWalk(dir, modes, base, limits)
  Array.from(walk.steps())
  return walk.changed()
}

export interface Limits {
  /** An entry of the directory that is left alone. */
  readonly except?: string
  readonly part?: Part
}

/** A part of what is in a directory. */
export interface Part {
  /** Whether it has the file, by its name below the directory. A directory is of it if a file in it is. */
  readonly has: (name: string) => boolean
  /** Nobody gets a right that he has not. */
  readonly isNarrowed: boolean
}

/** The same for a part of what is in it, beside other work. An empty directory is changed, too. */
export async function applyModesMeanwhile(
  dir: string,
  modes: Modes,
  base: string,
  part: Part,
): Promise<Changed | undefined> {
  const walk = new ModeWalk(dir, modes, base, { part })
  for (const _ of walk.steps()) await setImmediate()
  return walk.changed()
}

class ModeWalk {
  readonly #files: FilesBeneath
  readonly #stats: Stats
  readonly #modes: Modes
  readonly #except: string | undefined
  readonly #part: Part | undefined
  readonly #group: Group
  readonly #uid = process.geteuid?.() ?? 0
  #count = 0
  #isForeign = false

  constructor(dir: string, modes: Modes, base: string, { except, part }: Limits) {
    this.#files = filesBeneath(dir, modes, base)
    this.#stats = fs.statSync(base)
    this.#modes = modes
    this.#except = except
    this.#part = part
    this.#group = groupIn(base)
  }

  changed(): Changed | undefined {
    const count = this.#count
    const isForeign = this.#isForeign
    return count === 0 && !isForeign ? undefined : { mode: this.#stats.mode & PERMISSIONS, count, isForeign }
  }

  /** Yields after each directory. Returns whether it is of the part. */
  *steps(path = this.#files.root, stats = this.#stats): Generator<undefined, boolean> {
    const isTop = path === this.#files.root
    const isDirectory = stats.isDirectory()
    const wanted = this.#wanted(path, stats)
    // Below, one that is finished may be all that shows whose the directory above is.
    if ((stats.mode & PERMISSIONS) === wanted && (isTop || !isDirectory || this.#part === undefined)) {
      return isDirectory || this.#isOfPart(path)
    }
    const names = isDirectory ? (whereOurs(() => this.#files.list(path)) ?? []) : []
    let isOfPart = isDirectory ? isTop && names.length === 0 : this.#isOfPart(path)
    for (const name of names) {
      if (isTop && name === this.#except) continue
      const entry = whereOurs(() => this.#files.status(`${path}/${name}`))
      if (entry?.isDirectory() !== true && entry?.isFile() !== true) continue
      if (yield* this.steps(`${path}/${name}`, entry)) isOfPart = true
    }
    if (isDirectory) yield
    if (this.#part === undefined || isOfPart) this.#give(path, stats, wanted)
    return isOfPart
  }

  #isOfPart(path: string): boolean {
    return this.#part?.has(path.slice(this.#files.root.length + 1)) !== false
  }

  #wanted(path: string, stats: Stats): number {
    const file = LOCKS.has(basename(path)) ? lockMode(this.#modes) : this.#modes.file
    const wanted = stats.isDirectory() ? this.#modes.directory : file
    return this.#part?.isNarrowed === true ? wanted & stats.mode : wanted
  }

  #give(path: string, stats: Stats, wanted: number): void {
    if ((stats.mode & PERMISSIONS) === wanted) return
    const isChanged =
      (this.#uid === 0 || stats.uid === this.#uid) && whereOurs(() => this.#change(path, stats.isDirectory(), wanted))
    if (isChanged === false && (stats.mode & OTHERS & ~wanted) !== 0) this.#isForeign = true
  }

  /**
   * Through a descriptor: the name may be another file's by now. False for a hard link: its other name may be in a
   * place where the file was not to change.
   */
  #change(path: string, isDirectory: boolean, wanted: number): boolean {
    const fd = isDirectory ? this.#files.openDirectory(path) : this.#files.open(path, fs.constants.O_RDONLY)
    try {
      const found = fs.fstatSync(fd)
      if (!isDirectory && found.nlink > 1) return false
      if (isWider(wanted) && isOurs(found.uid)) letIn(fd, wanted, this.#group)
      else fs.fchmodSync(fd, (found.mode & SPECIAL) | wanted)
      this.#count++
      return true
    } finally {
      fs.closeSync(fd)
    }
  }
}

const ELSEWHERE = ['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'NAME_IS_LINK', 'NOT_REGULAR']

/** undefined where another process removed or replaced the file meanwhile, or it is closed to this user. */
function whereOurs<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (ELSEWHERE.includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

/** In one line, where another user owns a directory of ltxd's own: he may rename and remove what is in it. */
export function describeOwner(what: string, { uid }: Stats): string | undefined {
  if (isOurs(uid)) return undefined
  return `${what} belongs to the user with id ${uid}, who can replace everything in it: make it the property of the user that runs ltxd`
}

/** In one line. `key` is the configuration's key for another mode. */
export function describeChange(what: string, changed: Changed, modes: Modes, key: string): string {
  const [from, to] = [changed.mode, modes.directory].map((mode) => mode.toString(8).padStart(4, '0'))
  const foreign = `something in it belongs to another user, or is a hard link, and stays as it is`
  if (changed.count === 0) return `${what} has mode ${from}, and ${foreign}: narrow it to ${to}`
  return (
    `${what} had mode ${from}: it and what ltxd made in it have ${to} now (${key} sets another)` +
    (changed.isForeign ? `, but ${foreign}` : '')
  )
}
