/** What upkeep needs to know of a history between two listings. Pure. */

import { type BackupHistory, filesOfLevel } from './history.ts'
import { MAX_COMPACTION_LEVEL, SNAPSHOT_LEVEL } from './layout.ts'
import { NEWEST, planRestore } from './plan.ts'

/**
 * The keys of the files that are not compacted yet, of the last file of each level, of all snapshots, and of what a
 * restore of the newest state reads.
 */
export function recent(history: BackupHistory): ReadonlySet<string> {
  const keys = new Set(filesOfLevel(history, SNAPSHOT_LEVEL).map(({ key }) => key))
  let covered = 0n
  for (let level = MAX_COMPACTION_LEVEL; level >= 0; level--) {
    const files = filesOfLevel(history, level)
    for (const { key, max } of files) if (max > covered) keys.add(key)
    const last = files.at(-1)
    if (last !== undefined) keys.add(last.key)
    // Of the level above alone: a level below may lack what a level further up holds.
    covered = files.reduce((max, file) => (file.max > max ? file.max : max), 0n)
  }
  for (const { key } of newestPlan(history)) keys.add(key)
  return keys
}

function newestPlan(history: BackupHistory): readonly { readonly key: string }[] {
  try {
    return planRestore(history, NEWEST)
  } catch {
    return []
  }
}
