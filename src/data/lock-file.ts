/**
 * The file by which a data directory is locked. Who can open it can lock it; and so can who opened it while it had
 * another mode or owner, as one of version 0.1 had. So each start that has the lock puts a new file in its place, which
 * nobody else can have open.
 */

import fs from 'node:fs'
import { errorCode, LtxdError } from '../util/errors.ts'
import type { FilesBeneath } from '../util/files-beneath.ts'
import { groupIn, letIn } from '../util/group.ts'
import { isSharedLocked } from '../util/lock-query.ts'
import { nativeLocks } from '../util/native-locks.ts'
import { isOurs } from '../util/owner.ts'
import { isOwn, isWider, lockMode, PRIVATE } from '../util/private-files.ts'

export const LOCK_NAMES = ['lock', 'lock.new'] as const
const { O_CREAT, O_RDWR } = fs.constants
const PERMISSIONS = 0o777
const OTHERS = 0o077
/** Each further one follows a start that another process made meanwhile. */
const MAX_ATTEMPTS = 10
const NO_ROOM = ['ENOSPC', 'EDQUOT']

class DataInUseError extends LtxdError {
  constructor(dir: string) {
    super(
      'DATA_IN_USE',
      `another ltxd uses the data directory ${dir}: stop it first, or choose another directory with --data ` +
        `("fuser ${dir}/lock" names the process that has it open)`,
    )
  }
}

type Changed = (message: string) => void

/**
 * Locks the data directory against every other ltxd, also of an earlier version. Returns the descriptors that hold the
 * lock. `changed` is told of a lock that others could hold. Throws DataInUseError.
 */
export function lockDirectory(files: FilesBeneath, changed: Changed = () => {}): number[] {
  for (let left = MAX_ATTEMPTS; left > 0; left--) {
    const held: number[] = []
    try {
      if (new Attempt(files, held, changed).isDone(left === 1)) return held
    } catch (error) {
      for (const fd of held) fs.closeSync(fd)
      throw error
    }
    for (const fd of held) fs.closeSync(fd)
  }
  throw new DataInUseError(files.root)
}

/** Locks it for a reader, who makes nothing. Throws DataInUseError. */
export function lockToRead(files: FilesBeneath): number | undefined {
  const path = `${files.root}/lock`
  if (files.status(path) === undefined) return undefined
  const fd = files.open(path, O_RDWR)
  if (nativeLocks().tryLock(fd) && isNamed(files, path, fd)) return fd
  fs.closeSync(fd)
  throw new DataInUseError(files.root)
}

class Attempt {
  readonly #files: FilesBeneath
  readonly #held: number[]
  readonly #changed: Changed
  readonly #path: string
  readonly #newPath: string

  constructor(files: FilesBeneath, held: number[], changed: Changed) {
    this.#files = files
    this.#held = held
    this.#changed = changed
    const [path, newPath] = LOCK_NAMES.map((name) => `${files.root}/${name}`) as [string, string]
    this.#path = path
    this.#newPath = newPath
  }

  /** False: another process changed something meanwhile. */
  isDone(isLast: boolean): boolean {
    const old = this.#open(this.#path)
    const isLocked = nativeLocks().tryLock(old)
    // A node has an exclusive lock. For a shared one it is enough that somebody may read the file.
    const isShared = !isLocked && isSharedLocked(old, 0, 0) === true
    const isInOurs = this.#isInOurs()
    if (!isLocked && !(isShared && isInOurs)) throw new DataInUseError(this.#files.root)
    // The owner of the directory decides who has which lock.
    if (!isInOurs) return isLast || isNamed(this.#files, this.#path, old)
    try {
      if (this.#isReplaced(old)) {
        this.#report(fs.fstatSync(old), isShared)
        return true
      }
    } catch (error) {
      if (!isLocked || !NO_ROOM.includes(errorCode(error) ?? '')) throw error
      return true
    }
    // On a file system where a file has now this number, now that one, the old one stays.
    return isLast && isLocked
  }

  #isInOurs(): boolean {
    return fs.statSync(this.#files.at(this.#files.root)).uid === process.geteuid?.()
  }

  /**
   * Puts a new file in the place of the old one. Its lock comes first: only who has the lock of the file with that name
   * renames it. False: another process changed something meanwhile.
   */
  #isReplaced(old: number): boolean {
    const files = this.#files
    const made = this.#open(this.#newPath)
    if (!isOwn(fs.fstatSync(made))) {
      files.remove(this.#newPath)
      return false
    }
    if (!nativeLocks().tryLock(made)) throw new DataInUseError(files.root)
    if (!isNamed(files, this.#newPath, made) || !isNamed(files, this.#path, old)) return false
    this.#giveMode(made)
    files.rename(this.#newPath, this.#path)
    return true
  }

  #giveMode(fd: number): void {
    const wanted = lockMode(this.#files.modes)
    if (isWider(wanted)) letIn(fd, wanted, groupIn(this.#files.at(this.#files.root)))
    else fs.fchmodSync(fd, wanted)
  }

  #report({ uid, mode, nlink }: fs.Stats, isShared: boolean): void {
    const others = mode & OTHERS & ~lockMode(this.#files.modes)
    const why = isShared
      ? 'was locked for reading by another process, which is no ltxd'
      : !isOurs(uid)
        ? `belonged to user ${uid}, who could lock it`
        : nlink > 1
          ? 'was a hard link'
          : others !== 0
            ? `had mode ${(mode & PERMISSIONS).toString(8).padStart(4, '0')}, with which others could lock it`
            : undefined
    if (why !== undefined) this.#changed(`${this.#path} ${why}: there is a new file in its place`)
  }

  #open(path: string): number {
    const fd = this.#files.open(path, O_RDWR | O_CREAT, PRIVATE.file)
    this.#held.push(fd)
    return fd
  }
}

/** Whether a descriptor's file still has that name. */
function isNamed(files: FilesBeneath, path: string, fd: number): boolean {
  const [named, { ino, dev }] = [files.status(path), fs.fstatSync(fd)]
  return named?.ino === ino && named.dev === dev
}
