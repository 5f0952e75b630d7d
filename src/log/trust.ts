/**
 * Records what a start can trust of a database file without reading it.
 *
 * `clean.json` records that the file was complete and durable at a position, and identifies the file and the log's last
 * segment. A clean stop writes it last. It is removed, durably, before any of the database's files is opened again.
 * While it exists, nothing was changed through the mount, and any other change shows in the file's identity. `doubted`
 * records the opposite: a page was read that differs from the log.
 */

import fs from 'node:fs'
import type { Position } from '../ltx/format/types.ts'
import { formatPosition, parsePosition } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { replaceFile, withFile } from '../util/files.ts'
import { assertFormat } from '../util/format-number.ts'
import { listSegments } from './segments.ts'

/** The format of clean.json. */
const FORMAT = 1

export interface CleanStop {
  readonly position: Position
  /** Files.identity of the database file. */
  readonly file: string
  /** Files.identity of the log's last segment; empty if there is none. */
  readonly segment: string
}

/** undefined if there is no record, or an unreadable or later one: then the file is read instead. */
export function readCleanStop(files: Files, dir: string): CleanStop | undefined {
  const path = `${dir}/clean.json`
  if (!files.exists(path)) return undefined
  try {
    const stored = JSON.parse(fs.readFileSync(path, 'utf8')) as Record<keyof CleanStop, string>
    assertFormat(path, stored, [FORMAT])
    const { position, file, segment } = stored
    return { position: parsePosition(position), file, segment }
  } catch {
    return undefined
  }
}

/** Writes the record. The database file must be durable, and `pages.bin` saved at this position. */
export function writeCleanStop(files: Files, dir: string, { position, ...left }: CleanStop): void {
  const text = JSON.stringify({ format: FORMAT, position: formatPosition(position), ...left }) + '\n'
  replaceFile(files, `${dir}/clean.json`, Buffer.from(text))
}

/** The identity of the log's last segment. */
export function identifySegment(files: Files, dir: string): string {
  const last = listSegments(files, dir).at(-1)
  return last === undefined ? '' : withFile(files, last.path, fs.constants.O_RDONLY, (fd) => files.identity(fd))
}

/** Removes the record durably. */
export function forgetCleanStop(files: Files, dir: string): void {
  if (!files.exists(`${dir}/clean.json`)) return
  files.unlink(`${dir}/clean.json`)
  files.syncDirectory(dir)
}

export function isDoubted(files: Files, dir: string): boolean {
  return files.exists(`${dir}/doubted`)
}

/** Makes the next start read the whole file. */
export function doubt(files: Files, dir: string): void {
  forgetCleanStop(files, dir)
  files.close(files.open(`${dir}/doubted`, fs.constants.O_RDWR | fs.constants.O_CREAT))
  files.syncDirectory(dir)
}

export function trustAgain(files: Files, dir: string): void {
  if (isDoubted(files, dir)) files.unlink(`${dir}/doubted`)
}
