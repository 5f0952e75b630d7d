import { formatTXID } from '../../ltx/format/types.ts'
import type { BackupHistory } from './history.ts'
import { NEWEST, newestWithout, planAround, planRestore } from './plan.ts'

export const SHIP_SNAPSHOT = 'Let a node that has the database ship a snapshot'

/** What to do about each object of a backup, once all damaged ones are known. Plans once, however many there are. */
export function adviser(
  url: string,
  history: BackupHistory,
  damaged: ReadonlySet<string>,
): (key: string | undefined) => string {
  const needed = neededObjects(history, damaged)
  const newest = newestWithout(history, damaged)
  const command = `ltxd restore ${url} ${history.database} --txid`
  const earlier = newest === undefined ? '' : `, or restore an earlier state: ${command} ${formatTXID(newest)} -o FILE`
  const lost = `No other objects lead to the newest state. ${SHIP_SNAPSHOT}${earlier}`
  const without =
    'The newest state is restored without it. Moments that only it holds are lost: look for another copy of it'
  return (key) => (needed !== undefined && (key === undefined || needed.has(key)) ? lost : without)
}

/** The objects of the newest state, where damaged ones cannot be avoided; undefined where they can. */
function neededObjects(history: BackupHistory, damaged: ReadonlySet<string>): ReadonlySet<string> | undefined {
  try {
    if (planAround(history, NEWEST, damaged) !== undefined) return undefined
    return new Set(planRestore(history, NEWEST).map(({ key }) => key))
  } catch {
    // Something is missing already. Another object does not help.
    return undefined
  }
}
