import type { DataDirectory } from '../data/directory.ts'
import { writeState } from '../util/state-file.ts'

const FORMAT = 1

/**
 * While this file exists, the node led without some databases, because their backup could not be read: it must not lead
 * again before it has read the backup, also if it led last. Version 0.1 does not know it.
 */
function markPath({ dir }: Pick<DataDirectory, 'dir'>): string {
  return `${dir}/withheld.json`
}

export function isMarkedWithheld(data: DataDirectory): boolean {
  return data.files.exists(markPath(data))
}

/** Called before the node leads without them, and when it leads all of them. */
export function markWithheld(data: DataDirectory, names: readonly string[]): void {
  if (names.length === 0) data.files.remove(markPath(data))
  else if (!isMarkedWithheld(data)) writeState(data.files, markPath(data), FORMAT, { databases: names.length })
}
