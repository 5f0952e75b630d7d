/**
 * Puts a database that was restored from the backup in the place of the local one: file and log, both or neither. The
 * local one stays until the restore is complete. Then a note says what is to be done, so that after a crash the next
 * start finishes it, whether the backup answers or not.
 *
 *   hydrating/<database>        the restored file, complete and durable
 *   restored/<database>.json    the note
 */

import fs from 'node:fs'
import { relative } from 'node:path'
import { z } from 'zod'
import { positionText } from '../log/position-text.ts'
import { removeLog } from '../log/replace.ts'
import { createLog, logDirectory } from '../log/store.ts'
import { formatPosition, parsePosition, type Position } from '../ltx/format/types.ts'
import { errorMessage } from '../util/errors.ts'
import { type Files, makeDurableDirectory, parentOf } from '../util/files.ts'
import type { FilesBeneath } from '../util/files-beneath.ts'
import { readState, writeState } from '../util/state-file.ts'
import { REPORT_FORMAT } from './report.ts'

export interface Restored {
  /** Where the log begins. */
  readonly position: Position
  /** There is no file: the backup has the database as dropped. */
  readonly dropped: boolean
  /** Move the local file and log there, a path below the data directory; otherwise remove them. */
  readonly aside?: { readonly path: string; readonly reason: string }
}

/** Of a data directory. */
export interface Place {
  readonly dir: string
  /** Another path of it, by which it is held. */
  readonly at: string
  readonly root: string
  readonly files: Files
}

const SIDE_FILES = ['-wal', '-shm', '-journal'] as const
const SUFFIX = '.json'
const NOTE = {
  format: 1,
  schema: z.strictObject({
    position: positionText,
    dropped: z.boolean(),
    aside: z.strictObject({ path: z.string(), reason: z.string() }).optional(),
  }),
}

/** Where the file is restored to. */
export function restoringPath({ dir }: Pick<Place, 'dir'>, database: string): string {
  return `${dir}/hydrating/${database}`
}

/** The file at `restoringPath` is durable. The directory of the database below the root exists. */
export function installRestored(place: Place, database: string, restored: Restored): void {
  const { files } = place
  const path = notePath(place, database)
  const { position, dropped, aside } = restored
  makeDurableDirectory(files, parentOf(path))
  const note = { position: formatPosition(position), dropped, ...(aside && { aside }) }
  writeState(files, path, NOTE.format, note)
  finish(place, database, restored)
}

/** Finishes what a crash interrupted, and removes restores that were not complete. Called before any log is read. */
export function finishRestored(
  place: Place & { readonly files: FilesBeneath },
  failed: (problem: string) => void,
): void {
  const { at, dir, files } = place
  let isFinished = true
  for (const database of notesBelow(`${at}/restored`)) {
    try {
      const note = readState(files, notePath(place, database), NOTE)
      if (note === undefined) continue
      const { position, dropped, aside } = note
      finish(place, database, { position: parsePosition(position), dropped, ...(aside && { aside }) })
    } catch (error) {
      isFinished = false
      failed(`database ${database} was restored, and cannot be put in its place: ${errorMessage(error)}`)
    }
  }
  if (isFinished) files.removeTree(`${dir}/hydrating`)
}

/** Each step may have happened before. Once the restored file has its name, all others have. */
function finish(place: Place, database: string, { position, dropped, aside }: Restored): void {
  const { dir, root, files } = place
  const file = `${root}/${database}`
  const log = logDirectory(dir, database)
  const restored = restoringPath(place, database)
  if (dropped || files.exists(restored)) {
    if (aside !== undefined) moveAside(place, database, aside)
    removeLog(files, log)
    for (const suffix of SIDE_FILES) files.remove(file + suffix)
    if (dropped) files.remove(file)
    createLog(files, log, position)
    if (!dropped) files.rename(restored, file)
    if (files.exists(parentOf(file))) files.syncDirectory(parentOf(file))
  }
  const note = notePath(place, database)
  files.remove(note)
  // A note that came back would be about a later database of the name.
  files.syncDirectory(parentOf(note))
}

/** With a report. */
function moveAside(
  { dir, root, files }: Place,
  database: string,
  { path, reason }: NonNullable<Restored['aside']>,
): void {
  const aside = `${dir}/${path}`
  makeDurableDirectory(files, aside)
  const move = (from: string, name: string) => {
    if (files.exists(from) && !files.exists(`${aside}/${name}`)) files.rename(from, `${aside}/${name}`)
  }
  move(logDirectory(dir, database), 'log')
  for (const suffix of ['', ...SIDE_FILES]) move(`${root}/${database}${suffix}`, `database${suffix}`)
  if (!files.exists(`${aside}/report.json`)) {
    const report = { database, reason, setAside: new Date().toISOString() }
    writeState(files, `${aside}/report.json`, REPORT_FORMAT, report, 2)
  }
  files.syncDirectory(aside)
}

function notePath({ dir }: Pick<Place, 'dir'>, database: string): string {
  return `${dir}/restored/${database}${SUFFIX}`
}

/** The databases that have one. */
function notesBelow(directory: string): string[] {
  if (!fs.existsSync(directory)) return []
  const entries = fs.readdirSync(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(SUFFIX))
    .map(({ parentPath, name }) => relative(directory, `${parentPath}/${name}`).slice(0, -SUFFIX.length))
}
