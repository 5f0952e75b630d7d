/**
 * Where objects lie below a backup's address.
 *
 * | object | in S3 | in a directory |
 * |---|---|---|
 * | file of a level | `<db>/%04x/<min>-<max>.ltx` | `<db>/ltx/<level>/<min>-<max>.ltx` |
 * | marker | `<db>/markers/<txid>-<kind>.json` | the same |
 * | set aside | `<db>/diverged/<name>` | the same |
 *
 * The levels are Litestream's (its `LTXFilePath`, and the S3 client's key); Litestream lists each level by its prefix.
 * The rest is ltxd's own: Litestream reads neither the prefixes nor the names. Objects that were set aside are no part
 * of the history, and their keys match no pattern of the history.
 */

import { decodeDatabaseName, decodeUnusableName, encodeDatabaseName } from '../../log/database-name.ts'
import { MAX_TXID } from '../../log/limits.ts'
import { formatTXID, parseTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { WAL_HEADER_SIZE } from '../../sqlite/wal.ts'

export type Layout = ObjectStore['layout']

/** Complete copies of a database. */
export const SNAPSHOT_LEVEL = 9
/** The highest level that compaction fills. */
export const MAX_COMPACTION_LEVEL = 8
/**
 * What the header of each file says of the WAL: that the next frame is its first one. Litestream then begins with a
 * snapshot where it takes a backup over. With 0 it ships nothing, because it looks at the frame before.
 */
export const WAL_OFFSET = WAL_HEADER_SIZE

/**
 * dropped: this transaction removed the database, which a checksum-free LTX file cannot express. reset: the database
 * begins anew with this transaction, created again or with another page size. No merge crosses it.
 */
export type MarkerKind = 'dropped' | 'reset'

export interface FileRef {
  readonly level: number
  readonly min: TXID
  readonly max: TXID
}

export type ParsedKey =
  | ({ readonly type: 'file'; readonly database: string } & FileRef)
  | { readonly type: 'marker'; readonly database: string; readonly kind: MarkerKind; readonly txid: TXID }

export function databasePrefix(database: string): string {
  return encodeDatabaseName(database) + '/'
}

export function levelPrefix(layout: Layout, database: string, level: number): string {
  const name = layout === 's3' ? level.toString(16).padStart(4, '0') : `ltx/${level}`
  return `${databasePrefix(database)}${name}/`
}

export function fileKey(layout: Layout, database: string, file: FileRef): string {
  return levelPrefix(layout, database, file.level) + fileName(file.min, file.max)
}

export function fileName(min: TXID, max: TXID): string {
  return `${formatTXID(min)}-${formatTXID(max)}.ltx`
}

export function markerPrefix(database: string): string {
  return `${databasePrefix(database)}markers/`
}

export function markerKey(database: string, kind: MarkerKind, txid: TXID): string {
  return `${markerPrefix(database)}${formatTXID(txid)}-${kind}.json`
}

/** Where an object that does not belong to the history is set aside. `name` contains no slash. */
export function divergedKey(database: string, name: string): string {
  return `${databasePrefix(database)}diverged/${name}`
}

const PATTERNS: Readonly<Record<Layout, RegExp>> = {
  s3: /^(.+)\/000([0-9])\/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$/,
  directory: /^(.+)\/ltx\/([0-9])\/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$/,
}
const MARKER_PATTERN = /^(.+)\/markers\/([0-9a-f]{16})-(dropped|reset)\.json$/

/** Parses a key; undefined for keys that are neither Litestream's nor ltxd's, which are ignored. */
export function parseKey(layout: Layout, key: string): ParsedKey | undefined {
  const file = PATTERNS[layout].exec(key)
  if (file !== null) {
    const [, path = '', level = '', min = '', max = ''] = file
    const database = decodeDatabaseName(path)
    if (database === undefined) return undefined
    const ref = { level: Number(level), min: parseTXID(min), max: parseTXID(max) }
    return ref.min >= 1n && ref.max >= ref.min && ref.max <= MAX_TXID ? { type: 'file', database, ...ref } : undefined
  }
  const marker = MARKER_PATTERN.exec(key)
  if (marker === null) return undefined
  const [, path = '', txid = '', kind] = marker
  const database = decodeDatabaseName(path)
  if (database === undefined || (kind !== 'dropped' && kind !== 'reset')) return undefined
  const at = parseTXID(txid)
  return at <= MAX_TXID ? { type: 'marker', database, kind, txid: at } : undefined
}

/** The database of a key whose name no database can have. `parseKey` ignores such keys. */
export function unusableDatabase(layout: Layout, key: string): string | undefined {
  const path = PATTERNS[layout].exec(key)?.[1]
  return path === undefined ? undefined : decodeUnusableName(path)
}
