/** The recovery of a data directory without serving it: what a start would do, shown or done. */

import fs from 'node:fs'
import type { DatabaseFilter } from '../capture/database-filter.ts'
import { ANY_DATABASE } from '../capture/database-filter.ts'
import type { CaptureEvents } from '../capture/events.ts'
import { findDatabases } from '../capture/find-databases.ts'
import { lockForLooking, openDataDirectory } from '../data/directory.ts'
import type { Position } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import { nodeFiles as files } from '../util/files.ts'
import type { PlannedRecovery } from './recover.ts'
import { planDatabase, recoverDatabase, refusalAdvice } from './recover.ts'

export interface DatabasePlan extends PlannedRecovery {
  readonly name: string
  /** What can be done about a database that is refused. */
  readonly advice: string
}

export interface RecoveredDatabase extends DatabasePlan {
  /** Where it is now; undefined for what is no database, and for one that is refused. */
  readonly position: Position | undefined
  /** Why it would not be served. */
  readonly refusal: string | undefined
}

/** Changes nothing below `dir`. `names`: these databases only, all without any. Throws LtxdError. */
export function planDirectory(dir: string, names: readonly string[], filter = ANY_DATABASE): DatabasePlan[] {
  const unlock = lockForLooking(dir)
  try {
    return chosen(dir, names, filter).map((name) => plan(dir, name, { foresee: true }))
  } finally {
    unlock()
  }
}

/** Recovers one database after the other, `each` told of it, and leaves them as a clean stop does. Throws LtxdError. */
export function recoverDirectory(
  dir: string,
  names: readonly string[],
  segmentSizeBytes: number,
  log: CaptureEvents['log'],
  filter = ANY_DATABASE,
): RecoveredDatabase[] {
  lockForLooking(dir)()
  const data = openDataDirectory(dir)
  try {
    const { root, nodeId } = data
    const ignore = () => {}
    const events = { log, published: ignore, sharing: ignore, guarded: ignore }
    return chosen(dir, names, filter).map((name) => {
      const planned = plan(dir, name, { foresee: false })
      const database = recoverDatabase({
        ...{ name, dataDir: dir, root, files, events, nowMs: Date.now, nodeId, segmentSizeBytes },
        // What is left to be proven would be so by nobody.
        wholeReadBytes: Infinity,
      })
      const { refusal } = database ?? {}
      const position = refusal === undefined ? database?.position : undefined
      if (refusal === undefined) database?.trust.leave()
      database?.close()
      return { ...planned, position, refusal }
    })
  } finally {
    data.close()
  }
}

function plan(dir: string, name: string, { foresee }: { foresee: boolean }): DatabasePlan {
  const planned = planDatabase({ files, dataDir: dir, root: `${dir}/files`, name, wholeReadBytes: Infinity }, foresee)
  return { name, advice: refusalAdvice(dir, name), ...planned }
}

function chosen(dir: string, names: readonly string[], filter: DatabaseFilter): string[] {
  const all = findDatabases(files, dir, `${dir}/files`, filter)
  for (const name of names) {
    if (all.includes(name)) continue
    const others = fs.existsSync(`${dir}/files/${name}`) ? ': it is no name of a database' : ''
    throw new LtxdError(
      'NO_SUCH_DATABASE',
      `${dir} has no database "${name}"${others}; it has ${all.join(', ') || 'none'}`,
    )
  }
  return names.length === 0 ? all : all.filter((name) => names.includes(name))
}
