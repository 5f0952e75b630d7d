/**
 * A log that begins anew, because its database was replaced as a whole: the new one is written beside the old, and takes its place
 * when it is complete. A crash leaves the one or the other.
 */

import fs from 'node:fs'
import type { Position } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { makeDurableDirectory, parentOf } from '../util/files.ts'
import { openLog } from './open.ts'
import { createLog } from './store.ts'
import type { LogWriterOptions } from './writer.ts'
import { LogWriter } from './writer.ts'

const NEXT = '.next'
const OLD = '.old'

/** `fill` writes the new log's first transactions. The old log is removed; its writer must be closed by then. */
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
  createLog(files, next, base) // last: a directory without its base is no log
  remove(files, dir + OLD)
  if (files.exists(dir)) files.rename(dir, dir + OLD)
  files.rename(next, dir)
  files.syncDirectory(parentOf(dir))
  remove(files, dir + OLD)
  return openLog(files, dir, options)
}

/** Out of the way at once, as a whole; what a crash leaves of it then is nobody's. */
export function removeLog(files: Files, dir: string): void {
  if (!files.exists(dir)) return
  remove(files, dir + OLD)
  files.rename(dir, dir + OLD)
  // Or a power loss could bring the name back and not what is in it.
  files.syncDirectory(parentOf(dir))
  remove(files, dir + OLD)
}

/** What a crash left of replacements below `log/`: finishes those that were complete, forgets the others. Before anything else looks at a log. */
export function finishReplacements(files: Files, logRoot: string): void {
  const entries = fs.readdirSync(logRoot, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    if (!entry.isDirectory()) continue
    const path = `${entry.parentPath}/${entry.name}`
    if (path.endsWith(`.ltx${OLD}`)) remove(files, path)
    if (!path.endsWith(`.ltx${NEXT}`)) continue
    const dir = path.slice(0, -NEXT.length)
    if (files.exists(`${path}/base.json`) && !files.exists(dir)) files.rename(path, dir)
    else remove(files, path)
    files.syncDirectory(parentOf(dir))
  }
}

/** Where the log of `dir` is while `finishReplacements` has not been called. */
export function effectiveLog(files: Files, dir: string): string {
  return !files.exists(dir) && files.exists(`${dir}${NEXT}/base.json`) ? dir + NEXT : dir
}

/** Its base first, without which it is no log, whatever of the rest a crash leaves. */
function remove(files: Files, dir: string): void {
  if (!files.exists(dir)) return
  if (files.exists(`${dir}/base.json`)) {
    files.unlink(`${dir}/base.json`)
    files.syncDirectory(dir)
  }
  for (const name of files.list(dir)) files.unlink(`${dir}/${name}`)
  files.removeDirectory(dir)
}
