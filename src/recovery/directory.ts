/** Recovers a data directory without serving it, or only plans that. */

import type { DatabaseFilter } from '../capture/database-filter.ts'
import { ANY_DATABASE } from '../capture/database-filter.ts'
import type { CaptureEvents } from '../capture/events.ts'
import { findDatabases } from '../capture/find-databases.ts'
import { finishRename } from '../capture/rename-over.ts'
import { discardReplacements } from '../capture/replacement.ts'
import { lockForReading, openDataDirectory } from '../data/directory.ts'
import type { Position } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import type { Modes } from '../util/private-files.ts'
import type { PlannedRecovery } from './recover.ts'
import { planDatabase, recoverDatabase, rejectionAdvice } from './recover.ts'

export interface DatabasePlan extends PlannedRecovery {
  readonly name: string
  /** What a person can do about a database that is not served. */
  readonly advice: string
}

export interface RecoveredDatabase extends DatabasePlan {
  /** The position after recovery; undefined if this is not a database, or one that is not served. */
  readonly position: Position | undefined
  /** Why the database would not be served. */
  readonly rejection: string | undefined
}

/**
 * Plans the recovery of the databases in `names`, or of all if `names` is empty. Changes nothing below `dir`. Throws
 * LtxdError.
 */
export function planDirectory(
  dir: string,
  names: readonly string[],
  filter = ANY_DATABASE,
  mountDir?: string,
): DatabasePlan[] {
  const { files, unlock } = lockForReading(dir)
  try {
    return chosen(files, dir, names, filter).map((name) => plan(files, dir, name, { foresee: true, mountDir }))
  } finally {
    unlock()
  }
}

/** Recovers the databases one after the other and leaves them as a clean stop does. Throws LtxdError. */
export function recoverDirectory(
  dir: string,
  names: readonly string[],
  segmentSizeBytes: number,
  log: CaptureEvents['log'],
  filter = ANY_DATABASE,
  modes?: Modes,
  mountDir?: string,
): RecoveredDatabase[] {
  lockForReading(dir).unlock()
  const data = openDataDirectory(dir, { ...(modes && { modes }), changed: (message) => log('warn', message, {}) })
  try {
    const { root, nodeId, files } = data
    const ignore = () => {}
    const events = {
      ...{ log, published: ignore, sharing: ignore, guarded: ignore, mended: ignore },
      ...{ resized: ignore, unexplained: ignore, later: ignore, unreplicated: ignore, plainFile: ignore },
    }
    discardReplacements(files, dir, events)
    finishRename(files, root, events)
    return chosen(files, dir, names, filter).map((name) => {
      const planned = plan(files, dir, name, { foresee: false, mountDir })
      const database = recoverDatabase({
        ...{ name, dataDir: dir, root, files, events, nowMs: Date.now, nodeId, segmentSizeBytes },
        // Nothing would verify the remaining pages later, so every page is read now.
        wholeReadBytes: Infinity,
        ...(mountDir !== undefined && { mountDir }),
      })
      const { rejection } = database ?? {}
      const position = rejection === undefined ? database?.position : undefined
      if (rejection === undefined) database?.trust.stopCleanly()
      database?.close()
      return { ...planned, position, rejection }
    })
  } finally {
    data.close()
  }
}

function plan(
  files: Files,
  dir: string,
  name: string,
  { foresee, mountDir }: { readonly foresee: boolean; readonly mountDir: string | undefined },
): DatabasePlan {
  const location = { files, dataDir: dir, root: `${dir}/files`, name, wholeReadBytes: Infinity }
  const planned = planDatabase({ ...location, ...(mountDir !== undefined && { mountDir }) }, foresee)
  const { advice = rejectionAdvice(dir, name) } = planned.plan.kind === 'refuse' ? planned.plan : {}
  return { name, ...planned, advice }
}

function chosen(files: Files, dir: string, names: readonly string[], filter: DatabaseFilter): string[] {
  const all = findDatabases(files, dir, `${dir}/files`, filter)
  for (const name of names) {
    if (all.includes(name)) continue
    const others = files.exists(`${dir}/files/${name}`)
      ? ': a file of that name exists, but its name cannot be a database'
      : ''
    throw new LtxdError(
      'NO_SUCH_DATABASE',
      `${dir} has no database "${name}"${others}; it has ${all.join(', ') || 'none'}`,
    )
  }
  return names.length === 0 ? all : all.filter((name) => names.includes(name))
}
