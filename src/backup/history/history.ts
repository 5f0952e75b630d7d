import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectInfo, ObjectStore } from '../../objectstore/objectstore.ts'
import { NoBackupError } from './errors.ts'
import {
  databasePrefix,
  type FileRef,
  levelPrefix,
  type MarkerKind,
  markerPrefix,
  type ParsedKey,
  parseKey,
  unusableDatabase,
} from './layout.ts'
import { type FileMetadata, parseMetadata } from './metadata.ts'

/** One LTX object, as its key and the listing describe it. */
export interface BackupFile extends FileRef {
  readonly key: string
  readonly sizeBytes: number
  /**
   * The time of the last transaction where it is known (in a directory, or after `withTimestamps`), otherwise of the
   * upload.
   */
  readonly timestampMs: number
  /** The time that the object says, where `withTimestamps` found it too late to be true. */
  readonly claimedMs?: number
  /** When the object was stored, by the store's clock; absent where the caller does not need it. */
  readonly storedMs?: number
}

export interface BackupMarker {
  readonly kind: MarkerKind
  readonly txid: TXID
  readonly key: string
  readonly timestampMs: number
}

/** Everything a backup holds of one database, at one moment. */
export interface BackupHistory {
  readonly database: string
  /** Ascending by level, then min, then max. */
  readonly files: readonly BackupFile[]
  /** Ascending by TXID. */
  readonly markers: readonly BackupMarker[]
}

/** Lists one database, with one listing. An unknown database has no files and no markers. */
export async function loadHistory(store: ObjectStore, database: string, signal?: AbortSignal): Promise<BackupHistory> {
  const histories = await collect(store, { prefix: databasePrefix(database), signal })
  return histories.get(database) ?? { database, files: [], markers: [] }
}

/**
 * As `loadHistory`. Throws NoBackupError, which names the databases that the backup holds, where there is nothing of
 * this one. A backup may begin between the two listings that this takes: then the later one counts.
 */
export async function requireHistory(store: ObjectStore, database: string): Promise<BackupHistory> {
  const listed = await loadHistory(store, database)
  if (listed.files.length > 0 || listed.markers.length > 0) return listed
  const all = await loadHistories(store)
  const since = all.get(database)
  if (since === undefined) throw new NoBackupError(store.url, database, [...all.keys()])
  return since
}

/** As `loadHistory`, for one level. With `from`, only files whose first transaction is not before it. */
export async function loadLevel(
  store: ObjectStore,
  database: string,
  level: number,
  { from, signal }: { readonly from?: TXID | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<readonly BackupFile[]> {
  const prefix = levelPrefix(store.layout, database, level)
  // Keys begin with the first transaction, so the TXID alone sorts before every key that begins with it.
  const startAfter = from === undefined ? undefined : prefix + formatTXID(from)
  const histories = await collect(store, { prefix, startAfter, signal })
  return histories.get(database)?.files ?? []
}

/** As `loadHistory`, for the markers alone. */
export async function loadMarkers(
  store: ObjectStore,
  database: string,
  signal?: AbortSignal,
): Promise<readonly BackupMarker[]> {
  const histories = await collect(store, { prefix: markerPrefix(database), signal })
  return histories.get(database)?.markers ?? []
}

/**
 * Lists every database below the store's root with one listing, ascending by name. `unusable` is called for each name
 * that no database can have.
 */
export async function loadHistories(
  store: ObjectStore,
  unusable?: (name: string) => void,
): Promise<ReadonlyMap<string, BackupHistory>> {
  const names = new Set<string>()
  const histories = await collect(store, { prefix: '' }, (key) => {
    const name = unusableDatabase(store.layout, key)
    if (name !== undefined) names.add(name)
  })
  if (unusable !== undefined) for (const name of names) unusable(name)
  return new Map([...histories].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** An object's metadata; empty when the object is gone, or was written by a program that stores none. */
export async function loadMetadata(
  store: ObjectStore,
  file: { readonly key: string },
  signal?: AbortSignal,
): Promise<FileMetadata> {
  const head = await store.head(file.key, signal)
  return head === undefined ? {} : parseMetadata(head.metadata)
}

/** The file that ends last. Of several, the one that begins first. */
export function newestFile(files: readonly BackupFile[]): BackupFile | undefined {
  let newest: BackupFile | undefined
  for (const file of files) {
    if (newest === undefined || file.max > newest.max || (file.max === newest.max && file.min < newest.min))
      newest = file
  }
  return newest
}

export function filesOfLevel(history: BackupHistory, level: number): BackupFile[] {
  return history.files.filter((file) => file.level === level)
}

/** Orders a history's files by level, then min, then max. */
export function compareFiles(a: FileRef, b: FileRef): number {
  return a.level - b.level || compareTXID(a.min, b.min) || compareTXID(a.max, b.max)
}

export function compareTXID(a: TXID, b: TXID): number {
  return a < b ? -1 : a > b ? 1 : 0
}

interface Builder {
  readonly database: string
  readonly files: BackupFile[]
  readonly markers: BackupMarker[]
}

/** A database's history from a listing, which may name other objects too. */
export function historyOf(
  layout: ObjectStore['layout'],
  database: string,
  listing: Iterable<ObjectInfo>,
): BackupHistory {
  const builders = new Map<string, Builder>()
  for (const info of listing) {
    const parsed = parseKey(layout, info.key)
    if (parsed?.database === database) add(builders, parsed, info)
  }
  return finished(builders).get(database) ?? { database, files: [], markers: [] }
}

interface Listing {
  readonly prefix: string
  readonly startAfter?: string | undefined
  readonly signal?: AbortSignal | undefined
}

async function collect(
  store: ObjectStore,
  { prefix, startAfter, signal }: Listing,
  ignored?: (key: string) => void,
): Promise<Map<string, BackupHistory>> {
  const builders = new Map<string, Builder>()
  for await (const info of store.list(prefix, startAfter, signal)) {
    const parsed = parseKey(store.layout, info.key)
    if (parsed === undefined) ignored?.(info.key)
    else add(builders, parsed, info)
  }
  return finished(builders)
}

function finished(builders: Map<string, Builder>): Map<string, BackupHistory> {
  for (const builder of builders.values()) {
    builder.files.sort(compareFiles)
    builder.markers.sort((a, b) => compareTXID(a.txid, b.txid))
  }
  return builders
}

function add(builders: Map<string, Builder>, parsed: ParsedKey, info: ObjectInfo): void {
  const { database } = parsed
  let builder = builders.get(database)
  if (builder === undefined) builders.set(database, (builder = { database, files: [], markers: [] }))
  const { key, sizeBytes, lastModifiedMs: timestampMs, storedMs } = info
  if (parsed.type === 'marker') {
    builder.markers.push({ kind: parsed.kind, txid: parsed.txid, key, timestampMs })
  } else {
    const { level, min, max } = parsed
    builder.files.push({ level, min, max, key, sizeBytes, timestampMs, storedMs })
  }
}
