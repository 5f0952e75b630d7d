/**
 * What a start may believe of a database file without reading it.
 *
 * `clean.json` says that the file was complete and durable at a position, which file that was, and which the log's last segment. It is the last
 * that a clean stop writes, and goes, durably, before any of the database's files is opened again: while it is there, nothing can have been changed through the mount. What
 * was changed otherwise shows in the file's identity.
 * `doubted` says the opposite: a page was read that is not what the log says.
 */

import fs from 'node:fs'
import type { Position } from '../ltx/format/types.ts'
import { formatPosition, parsePosition } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { replaceFile, withFile } from '../util/files.ts'
import { listSegments } from './segments.ts'

export interface CleanStop {
  readonly position: Position
  /** Files.identity of the database file. */
  readonly file: string
  /** Of the log's last segment; empty when there is none. */
  readonly segment: string
}

/** undefined when there was none, or when it can't be read: then the file is read instead. */
export function readCleanStop(files: Files, dir: string): CleanStop | undefined {
  const path = `${dir}/clean.json`
  if (!files.exists(path)) return undefined
  try {
    const { position, ...left } = JSON.parse(fs.readFileSync(path, 'utf8')) as Record<keyof CleanStop, string>
    return { position: parsePosition(position), ...left }
  } catch {
    return undefined
  }
}

/** The database file must be durable, and `pages.bin` as of this position. */
export function writeCleanStop(files: Files, dir: string, { position, ...left }: CleanStop): void {
  const text = JSON.stringify({ position: formatPosition(position), ...left }) + '\n'
  replaceFile(files, `${dir}/clean.json`, Buffer.from(text))
}

/** Which file the log's last segment is. */
export function identifySegment(files: Files, dir: string): string {
  const last = listSegments(files, dir).at(-1)
  return last === undefined ? '' : withFile(files, last.path, fs.constants.O_RDONLY, (fd) => files.identity(fd))
}

/** When this returns, no power loss brings it back. */
export function forgetCleanStop(files: Files, dir: string): void {
  if (!files.exists(`${dir}/clean.json`)) return
  files.unlink(`${dir}/clean.json`)
  files.syncDirectory(dir)
}

export function isDoubted(files: Files, dir: string): boolean {
  return files.exists(`${dir}/doubted`)
}

/** The next start reads the whole file. */
export function doubt(files: Files, dir: string): void {
  forgetCleanStop(files, dir)
  files.close(files.open(`${dir}/doubted`, fs.constants.O_RDWR | fs.constants.O_CREAT))
  files.syncDirectory(dir)
}

export function trustAgain(files: Files, dir: string): void {
  if (isDoubted(files, dir)) files.unlink(`${dir}/doubted`)
}
