/**
 * The layout of logs in a data directory, and the small files beside their segments.
 *
 * `log/<database>.ltx/` holds
 *   base.json      the position before the first transaction that the log ever held (0 for a new database); of a
 *                  dropped database, the position of the drop (dropped.ts)
 *   synced.json    the position up to which the database file is known to be durable: replay begins after it
 *   pages.bin      checksums of all pages at some position (page-checksums.ts)
 *   clean.json     after a clean stop, until the database is opened again: its file need not be read (trust.ts)
 *   doubted        a damaged page was found: the file must be read (trust.ts)
 *   copied-journal a journal was copied in beside the database, and was not rolled back yet (copied-journal.ts)
 *   *.ltxlog       segments
 */

import { z } from 'zod'
import type { Position } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM, formatPosition, parsePosition, toTXID } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { makeDurableDirectory } from '../util/files.ts'
import { LinkedNameError } from '../util/files-beneath.ts'
import { formatState, readState, StateDamagedError, writeState } from '../util/state-file.ts'
import { positionText } from './position-text.ts'

export const ZERO_POSITION: Position = { txid: toTXID(0), checksum: EMPTY_CHECKSUM }

const SUFFIX = '.ltx'

/** base.json and synced.json. */
const POSITION = { format: 1, schema: z.strictObject({ position: positionText }) }

export function logDirectory(dataDir: string, database: string): string {
  return `${dataDir}/log/${database}${SUFFIX}`
}

/** Creates the log's directory with its base; does nothing if the log exists. */
export function createLog(files: Files, dir: string, base: Position): void {
  if (files.exists(`${dir}/base.json`)) return
  makeDurableDirectory(files, dir)
  writePosition(files, `${dir}/base.json`, base)
}

/** Throws StateDamagedError and UnknownFormatError. */
export function readBase(files: Files, dir: string): Position {
  const path = `${dir}/base.json`
  try {
    return readPosition(files, path) ?? ZERO_POSITION
  } catch (error) {
    if (!(error instanceof StateDamagedError)) throw error
    throw new StateDamagedError(path, error.problem, 'It tells where the log begins, and nothing else does')
  }
}

/** The content of base.json. */
export function baseText(position: Position): string {
  return formatState(POSITION.format, { position: formatPosition(position) })
}

/** Throws StateDamagedError and UnknownFormatError. */
export function readSynced(files: Files, dir: string): Position {
  return readPosition(files, `${dir}/synced.json`) ?? readBase(files, dir)
}

export function writeSynced(files: Files, dir: string, position: Position): void {
  writePosition(files, `${dir}/synced.json`, position)
}

/** The names of all databases that have a log. */
export function listLogs(files: Files, dataDir: string): string[] {
  const root = `${dataDir}/log`
  const logs = directoriesBelow(files, root).filter(
    (path) => path.endsWith(SUFFIX) && files.exists(`${path}/base.json`),
  )
  return logs.map((path) => path.slice(root.length + 1, -SUFFIX.length)).sort()
}

/** All of them. A file, a link or what has gone meanwhile is none. */
export function directoriesBelow(files: Files, parent: string): string[] {
  const directories = files
    .list(parent)
    .map((name) => `${parent}/${name}`)
    .filter((path) => isDirectory(files, path))
  return directories.flatMap((path) => [path, ...directoriesBelow(files, path)])
}

function isDirectory(files: Files, path: string): boolean {
  try {
    return files.status(path)?.isDirectory() === true
  } catch (error) {
    if (error instanceof LinkedNameError) return false
    throw error
  }
}

function writePosition(files: Files, path: string, position: Position): void {
  writeState(files, path, POSITION.format, { position: formatPosition(position) })
}

function readPosition(files: Files, path: string): Position | undefined {
  const stored = readState(files, path, POSITION)
  return stored && parsePosition(stored.position)
}
