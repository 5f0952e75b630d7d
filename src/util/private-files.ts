/**
 * What ltxd derives from a database is as secret as the database. These are the modes of every file and directory that
 * it makes for itself. Whoever may read more is said in the configuration (`data.mode`, `backup.mode`).
 */

import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { groupIn, letIn, letInMeanwhile } from './group.ts'
import { native } from './path-bytes.ts'

export interface Modes {
  readonly directory: number
  readonly file: number
}

/** Only the user that runs ltxd. */
export const PRIVATE: Modes = { directory: 0o700, file: 0o600 }

const OTHERS = 0o077
/** With a mode that lets others in, something is made for this user first. */
const OWNER = 0o700

/** The modes that follow from the mode of a directory: its files have it without the right to execute. */
export function modesOf(directory: number): Modes {
  return { directory, file: directory & 0o666 }
}

/**
 * The mode of a file that processes lock: who may not write to it may not open it, because a lock for reading keeps
 * everybody else out, too.
 */
export function lockMode({ file }: Modes): number {
  const writers = file & 0o222
  return writers | (writers << 1)
}

/** Wider modes than PRIVATE are what the configuration says, whatever the umask. */
export const isWider = (mode: number) => (mode & OTHERS) !== 0

export function createSync(path: string, flags: number, mode: number): number {
  if (!isWider(mode) || (flags & fs.constants.O_CREAT) === 0) return fs.openSync(native(path), flags, mode)
  const fd = fs.openSync(native(path), flags, mode & OWNER)
  if (isOwn(fs.fstatSync(fd))) letIn(fd, mode, groupIn(dirname(path)))
  return fd
}

export async function create(path: string, flags: string | number, mode: number): Promise<FileHandle> {
  if (!isWider(mode)) return fs.promises.open(path, flags, mode)
  const handle = await fs.promises.open(path, flags, mode & OWNER)
  try {
    if (isOwn(await handle.stat())) await letInMeanwhile(handle.fd, mode, groupIn(dirname(path)))
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * Whether it is a file of this user's to which nothing but this name leads. Another's that existed keeps its mode, and
 * so does a hard link: its other name may be in a place where the file was not to change.
 */
export function isOwn(file: fs.Stats): boolean {
  return file.isFile() && file.nlink <= 1 && file.uid === process.geteuid?.()
}

const WRITABLE_BY_OTHERS = 0o022

/** Whether nobody but this user, and root, makes, moves and removes files in the directory. */
export function isClosed({ uid, mode }: Pick<fs.Stats, 'uid' | 'mode'>): boolean {
  return uid === process.geteuid?.() && (mode & WRITABLE_BY_OTHERS) === 0
}

/** Makes a directory and its missing parents. */
export function makeDirectorySync(path: string, mode: number): void {
  if (!isWider(mode)) return void fs.mkdirSync(path, { recursive: true, mode })
  const missing: string[] = []
  for (let at = path; !fs.existsSync(at); at = dirname(at)) missing.push(at)
  for (const at of missing.reverse()) {
    fs.mkdirSync(at, { recursive: true, mode: mode & OWNER })
    openedTo(at, mode)
  }
}

/** A directory of this user's gets a mode that lets others in. */
function openedTo(directory: string, mode: number): void {
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW)
  try {
    letIn(fd, mode, groupIn(dirname(directory)))
  } finally {
    fs.closeSync(fd)
  }
}
