/**
 * A rename over a database that left side files. These are no part of the file that gets the name, but they are removed
 * only after the rename: one that fails takes nothing from the former database. What is to be removed is noted before,
 * so that a crash in between leaves no database beside the side files of another.
 */

import { z } from 'zod'
import { asError, LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { parentOf } from '../util/files.ts'
import { readState, writeState } from '../util/state-file.ts'
import type { CaptureEvents } from './events.ts'

const FORMAT = 1

/** Paths are below the backing directory. */
const schema = z.strictObject({
  from: z.string(),
  to: z.string(),
  /** The inode number of the file that loses its name. */
  former: z.int(),
  /** Its side files. */
  left: z.array(z.string()),
})

export type RenameOver = z.infer<typeof schema>

/** `root`: the backing directory. The note is beside it, outside of what the mount shows. */
function noteOf(root: string): string {
  return `${parentOf(root)}/rename.json`
}

/** Durable when it returns. */
export function noteRename(files: Files, root: string, rename: RenameOver): void {
  writeState(files, noteOf(root), FORMAT, rename)
}

/** The rename failed, or what it is about was removed. */
export function forgetRename(files: Files, root: string, { from, to }: RenameOver): void {
  // No later database may lose its side files, whose names are the same, to a note that a power loss brings back.
  for (const folder of new Set([to, from].map((path) => parentOf(`${root}/${path}`)))) files.syncDirectory(folder)
  files.remove(noteOf(root))
  files.syncDirectory(parentOf(root))
}

/** At a start: removes what the former database left, if the rename took place. */
export function finishRename(files: Files, root: string, { log }: Pick<CaptureEvents, 'log'>): void {
  const note = noteOf(root)
  try {
    const rename = readState(files, note, { schema, format: FORMAT })
    if (rename === undefined) return
    if (tookPlace(files, root, rename)) {
      for (const file of rename.left) files.remove(`${root}/${file}`)
      const message = 'the node ended within a rename: removed the side files that the former database of the name left'
      log('warn', message, { database: rename.to, files: rename.left.join(', ') })
    }
    forgetRename(files, root, rename)
  } catch (error) {
    if (!(error instanceof LtxdError)) throw error
    files.remove(note)
    log('error', 'what a rename of a database left to be removed is not known', { err: asError(error) })
  }
}

function tookPlace(files: Files, root: string, { from, to, former }: RenameOver): boolean {
  const target = files.status(`${root}/${to}`)
  return target !== undefined && target.ino !== former && !files.exists(`${root}/${from}`)
}
