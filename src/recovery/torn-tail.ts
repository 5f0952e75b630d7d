import type { LogFields } from '../capture/events.ts'
import { cutTornTail, type LogState } from '../log/open.ts'
import type { Files } from '../util/files.ts'

export interface TornDatabase {
  readonly dataDir: string
  readonly name: string
  readonly nowMs: () => number
}

/** Cuts what a crash left of a transaction at the log's end, and says so. What held records is kept as a copy. */
export function cutTorn(
  files: Files,
  torn: NonNullable<LogState['torn']>,
  { dataDir, name, nowMs }: TornDatabase,
  warn: (message: string, fields: LogFields) => void,
): void {
  const copyPath = `${dataDir}/diverged/${name}/${nowMs()}-torn.ltxlog`
  cutTornTail(files, torn, copyPath)
  const copy = torn.holdsRecords || torn.later.length > 0 ? copyPath : undefined
  const fields = { offsetBytes: torn.at, copy, ...(torn.whole > 0 && { transactions: torn.whole }) }
  warn(
    torn.whole === 0
      ? 'the LTX log ended in an unfinished transaction, which was cut'
      : 'a power loss lost a transaction of the LTX log: it and those after it were cut, and are kept as a copy',
    fields,
  )
}
