/**
 * Replaces or removes a log as a whole. The new log is written beside the old one and takes its place once it is
 * complete, so a crash leaves either the old one or the new one.
 */

import type { Position } from '../ltx/format/types.ts'
import { errorMessage } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { makeDurableDirectory, parentOf } from '../util/files.ts'
import { openLog } from './open.ts'
import { createLog, directoriesBelow } from './store.ts'
import type { LogWriterOptions } from './writer.ts'
import { LogWriter } from './writer.ts'

const NEXT = '.next'
const OLD = '.old'

/** `fill` writes the new log's first transactions. The old log, whose writer must be closed by then, is removed. */
export function replaceLog(
  files: Files,
  dir: string,
  base: Position,
  options: LogWriterOptions,
  fill: (writer: LogWriter) => void,
): LogWriter {
  const next = dir + NEXT
  remove(files, next)
  makeDurableDirectory(files, next)
  const writer = new LogWriter(files, next, base, 0, options)
  try {
    fill(writer)
  } catch (error) {
    writer.close()
    remove(files, next)
    throw error
  }
  writer.close()
  createLog(files, next, base) // Last: a directory without base.json is not a log.
  remove(files, dir + OLD)
  if (files.exists(dir)) files.rename(dir, dir + OLD)
  files.rename(next, dir)
  files.syncDirectory(parentOf(dir))
  remove(files, dir + OLD)
  return openLog(files, dir, options)
}

/** Removes a log. The rename removes it at once; `finishReplacements` removes what a crash leaves after that. */
export function removeLog(files: Files, dir: string): void {
  if (!files.exists(dir)) return
  remove(files, dir + OLD)
  files.rename(dir, dir + OLD)
  // Otherwise a power loss could bring back the name without its content.
  files.syncDirectory(parentOf(dir))
  remove(files, dir + OLD)
}

/**
 * Finishes the replacements below `log/` that were complete when a crash interrupted them, and removes the others.
 * Called before any log is read. Calls `failed` for one that it leaves as it is, because of what else is in it.
 */
export function finishReplacements(files: Files, logRoot: string, failed: (problem: string) => void): void {
  for (const path of directoriesBelow(files, logRoot)) {
    try {
      finishReplacement(files, path)
    } catch (error) {
      failed(`what is left of a replaced log cannot be removed: ${errorMessage(error)}`)
    }
  }
}

function finishReplacement(files: Files, path: string): void {
  if (path.endsWith(`.ltx${OLD}`)) remove(files, path)
  if (!path.endsWith(`.ltx${NEXT}`)) return
  const dir = path.slice(0, -NEXT.length)
  if (files.exists(`${path}/base.json`) && !files.exists(dir)) files.rename(path, dir)
  else remove(files, path)
  files.syncDirectory(parentOf(dir))
}

/** The directory of the log of `dir`, whether `finishReplacements` was called or not. */
export function effectiveLog(files: Files, dir: string): string {
  return !files.exists(dir) && files.exists(`${dir}${NEXT}/base.json`) ? dir + NEXT : dir
}

/** Removes base.json first: without it the directory is not a log, whatever else a crash leaves of it. */
function remove(files: Files, dir: string): void {
  if (!files.exists(dir)) return
  if (files.exists(`${dir}/base.json`)) {
    files.unlink(`${dir}/base.json`)
    files.syncDirectory(dir)
  }
  for (const name of files.list(dir)) files.unlink(`${dir}/${name}`)
  files.removeDirectory(dir)
}
