import { requireHistory } from '../../../backup/history/history.ts'
import { isStoreFailure } from '../../../backup/history/outage.ts'
import { restorableRange } from '../../../backup/history/plan.ts'
import { withTimestamps } from '../../../backup/history/times.ts'
import { type BackedUpDatabase, listBackup } from '../../../backup/ship/boot.ts'
import { formatChecksum, formatTXID, type TXID } from '../../../ltx/format/types.ts'
import { MetadataUnreadableError } from '../../../objectstore/errors.ts'
import { openObjectStore } from '../../../objectstore/stores/open.ts'
import { errorMessage } from '../../../util/errors.ts'
import { isoTime } from '../../../util/time.ts'
import { formatSize } from '../../../util/units.ts'
import { type Column, printJson, printLine, printTable } from '../../output/output.ts'

/** Prints the databases of a backup, each with its newest position. One that cannot be read sets the exit code to 1. */
export async function listDatabases(url: string, json: boolean): Promise<void> {
  const store = openObjectStore(url)
  try {
    const failures = new Map<string, unknown>()
    const listed = await listBackup(store, (database, error) => failures.set(database, error))
    if (listed.length === 0) throwOutage(failures)
    const unreadable = Array.from([...failures].sort(byName), ([database, error]) => ({
      database,
      problem: errorMessage(error),
    }))
    const rows = listed.map(describeDatabase)
    if (json) printJson({ url: store.url, databases: rows, ...(unreadable.length > 0 && { unreadable }) })
    else if (rows.length + unreadable.length === 0) printLine(`${store.url} contains no databases`)
    else if (rows.length > 0) printDatabases(rows)
    if (!json) for (const { database, problem } of unreadable) printLine(`${database}: ${problem}`)
    if (unreadable.length > 0) process.exitCode = 1
  } finally {
    await store.close()
  }
}

/**
 * Prints the files of one database by level, and the range that can be restored. An object that cannot be read sets the
 * exit code to 1.
 */
export async function listFiles(url: string, database: string, json: boolean): Promise<void> {
  const store = openObjectStore(url)
  try {
    const failures = new Map<string, unknown>()
    const found = await requireHistory(store, database)
    const history = await withTimestamps(store, found, (key, error) => failures.set(key, error))
    if (failures.size === found.files.length + found.markers.length) throwOutage(failures)
    const damaged = Array.from([...failures].sort(byName), ([key, error]) => ({ key, problem: errorMessage(error) }))
    if (damaged.length > 0) process.exitCode = 1
    const range = describeRange(restorableRange(history))
    const files = history.files.map(({ level, min, max, sizeBytes, timestampMs }) => {
      return { level, min: formatTXID(min), max: formatTXID(max), sizeBytes, time: isoTime(timestampMs) }
    })
    const markers = history.markers.map(({ kind, txid, timestampMs }) => {
      return { kind, txid: formatTXID(txid), time: isoTime(timestampMs) }
    })
    if (json) {
      const unreadable = damaged.length > 0 && { unreadable: damaged }
      printJson({ url: store.url, database, restorable: range, files, markers, ...unreadable })
      return
    }
    printTable(
      columns('LEVEL', 'FROM', 'TO', 'SIZE', 'TIME'),
      files.map((file) => [String(file.level), file.min, file.max, formatSize(file.sizeBytes), file.time]),
    )
    const events = markers.map(({ kind, txid, time }) => `${kind} in transaction ${txid}, ${time}`)
    const damages = damaged.map(({ key, problem }) => `${key}: ${problem}`)
    for (const line of ['', ...events, ...damages, `restorable: ${rangeText(range)}`]) printLine(line)
  } finally {
    await store.close()
  }
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : 1)

/** Where nothing can be read, it is not for damage. */
function throwOutage(failures: ReadonlyMap<string, unknown>): void {
  const errors = [...failures.values()]
  const ofStore = (error: unknown) => isStoreFailure(error) && !(error instanceof MetadataUnreadableError)
  if (errors.length > 0 && errors.every(ofStore)) throw errors[0]
}

const NUMBERS = new Set(['SIZE', 'LEVEL', 'FILES'])

function columns(...titles: string[]): Column[] {
  return titles.map((title) => ({ title, align: NUMBERS.has(title) ? 'right' : 'left' }))
}

type Row = ReturnType<typeof describeDatabase>

function describeDatabase({ name, history, position }: BackedUpDatabase) {
  const { txid, checksum, timestampMs, state, problem } = position
  return {
    database: name,
    state,
    txid: formatTXID(txid),
    ...(checksum !== undefined && { checksum: formatChecksum(checksum) }),
    time: isoTime(timestampMs),
    files: history.files.length,
    sizeBytes: history.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    restorable: describeRange(restorableRange(history)),
    ...(problem !== undefined && { problem }),
  }
}

function printDatabases(rows: readonly Row[]): void {
  printTable(
    columns('DATABASE', 'NEWEST', 'TIME', 'FILES', 'SIZE', 'RESTORABLE FROM', 'STATE'),
    rows.map((row) => [
      row.database,
      row.txid,
      row.time,
      String(row.files),
      formatSize(row.sizeBytes),
      row.restorable?.first ?? '-',
      row.problem === undefined ? row.state : `newest state cannot be restored: ${row.problem}`,
    ]),
  )
}

function describeRange(range: { readonly first: TXID; readonly last: TXID } | undefined) {
  return range === undefined ? null : { first: formatTXID(range.first), last: formatTXID(range.last) }
}

function rangeText(range: ReturnType<typeof describeRange>): string {
  return range === null ? 'nothing' : `${range.first} to ${range.last}, at the end of each file`
}
