/**
 * Records what a start can trust of a database file without reading it.
 *
 * `clean.json` records that the file was complete and durable at a position, and identifies the file and the log's last
 * segment. A clean stop writes it last. It is removed, durably, before any of the database's files is opened again.
 * While it exists, nothing was changed through the mount, and any other change shows in the file's identity. `doubted`
 * records the opposite: a page was read that differs from the log.
 */

import fs from 'node:fs'
import { z } from 'zod'
import type { Position } from '../ltx/format/types.ts'
import { formatPosition, parsePosition } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'
import { readState, writeState } from '../util/state-file.ts'
import { positionText } from './position-text.ts'
import { listSegments } from './segments.ts'

const identity = z.string().regex(/^[0-9:]*$/, 'expected the identity of a file')

const CLEAN_STOP = {
  format: 1,
  schema: z.strictObject({ position: positionText, file: identity, segment: identity }),
}

export interface CleanStop {
  readonly position: Position
  /** Files.identity of the database file. */
  readonly file: string
  /** Files.identity of the log's last segment; empty if there is none. */
  readonly segment: string
}

/**
 * undefined if there is no record, or an unreadable or later one: then the file is read instead. `damaged` is told why.
 */
export function readCleanStop(
  files: Files,
  dir: string,
  damaged: (problem: string) => void = () => {},
): CleanStop | undefined {
  try {
    const stored = readState(files, `${dir}/clean.json`, CLEAN_STOP)
    return stored && { ...stored, position: parsePosition(stored.position) }
  } catch (error) {
    if (!(error instanceof LtxdError)) throw error
    damaged(error.message)
    return undefined
  }
}

/** Writes the record. The database file must be durable, and `pages.bin` saved at this position. */
export function writeCleanStop(files: Files, dir: string, { position, ...left }: CleanStop): void {
  writeState(files, `${dir}/clean.json`, CLEAN_STOP.format, { position: formatPosition(position), ...left })
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
