/** When the transactions of a backup were committed. A listing shows other times: of an upload, or of a copy. */

import pLimit from 'p-limit'
import { z } from 'zod'
import { LTXError } from '../../ltx/format/errors.ts'
import { HEADER_SIZE, unmarshalHeader } from '../../ltx/format/header.ts'
import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import { InvalidRangeError, ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ByteRange, ObjectStore } from '../../objectstore/objectstore.ts'
import { isoTime } from '../../util/time.ts'
import { type BackupFile, type BackupHistory, type BackupMarker, loadMetadata } from './history.ts'
import { parseTimestamp } from './metadata.ts'
import type { Plan } from './plan.ts'
import { MAX_SKEW_MS } from './store-clock.ts'

const REQUESTS_AT_ONCE = 16
/** A marker is a line of JSON. */
const MAX_MARKER_BYTES = 4096
/** As many files in a row with one time, to the millisecond, are no coincidence. */
const ONE_TIME_FILES = 3

/**
 * The same history with the times of its transactions and drops, by a request for each object. Where an object does
 * not tell its time, that of the listing stays. A time that lies well after the object was stored is of a clock that
 * was ahead: then the time of storing counts, which is an upper bound. `failed` is called for an object that cannot be
 * read, or has no header of an LTX file; without it, the first is an error, and the second tells no time.
 */
export async function withTimestamps(
  store: ObjectStore,
  history: BackupHistory,
  failed?: (key: string, error: unknown) => void,
): Promise<BackupHistory> {
  const limit = pLimit(REQUESTS_AT_ONCE)
  const [files, markers] = await Promise.all([
    limit.map(history.files, async (file) => bounded(file, await timeOfFile(store, file, failed))),
    limit.map(history.markers, async (marker) => {
      const timestampMs = await timeOfMarker(store, marker, failed)
      return timestampMs === undefined ? marker : { ...marker, timestampMs }
    }),
  ])
  return { ...history, files, markers }
}

function bounded(file: BackupFile, timestampMs = file.timestampMs): BackupFile {
  const { storedMs } = file
  if (storedMs === undefined || timestampMs <= storedMs + MAX_SKEW_MS) return { ...file, timestampMs }
  return { ...file, timestampMs: storedMs, claimedMs: timestampMs }
}

/** A directory shows the time of the file, which a copy may have lost. The header keeps it. */
async function timeOfFile(
  store: ObjectStore,
  file: BackupFile,
  failed: ((key: string, error: unknown) => void) | undefined,
): Promise<number | undefined> {
  try {
    const known = store.layout === 'directory' ? undefined : (await loadMetadata(store, file)).timestampMs
    if (known !== undefined) return known
    const bytes = await readStart(store, file.key, { start: 0, end: HEADER_SIZE - 1 })
    // What is too short has no such range. Its listing says so.
    if (bytes === undefined && file.sizeBytes >= HEADER_SIZE) return undefined
    return unmarshalHeader(bytes ?? new Uint8Array()).timestampMs
  } catch (error) {
    failed?.(file.key, error)
    // Whoever needs the file reads it whole, and says what is wrong with it.
    if (failed !== undefined || error instanceof LTXError) return undefined
    throw error
  }
}

const markerText = z.object({ timestamp: z.string() })

/** A marker's own text says when its transaction was committed. Its object may have been stored much later. */
async function timeOfMarker(
  store: ObjectStore,
  { key }: BackupMarker,
  failed: ((key: string, error: unknown) => void) | undefined,
): Promise<number | undefined> {
  let bytes: Uint8Array | undefined
  try {
    bytes = await readStart(store, key, { start: 0, end: MAX_MARKER_BYTES - 1 })
  } catch (error) {
    if (failed === undefined) throw error
    failed(key, error)
  }
  try {
    return parseTimestamp(markerText.parse(JSON.parse(Buffer.from(bytes ?? []).toString())).timestamp)
  } catch {
    return undefined
  }
}

/** Undefined where the object is gone, or shorter than it must be. */
async function readStart(store: ObjectStore, key: string, range: ByteRange): Promise<Uint8Array | undefined> {
  try {
    const chunks: Uint8Array[] = []
    for await (const chunk of await store.get(key, range)) chunks.push(chunk)
    return Buffer.concat(chunks)
  } catch (error) {
    if (error instanceof ObjectNotFoundError || error instanceof InvalidRangeError) return undefined
    throw error
  }
}

/**
 * Why the state that a restore to a moment ends at may be another than the one of that moment, and what to do instead;
 * undefined if nothing speaks for it. Pure.
 */
export function doubtAbout({ files }: BackupHistory, targetMs: number, plan: Plan, nowMs: number): string | undefined {
  if (targetMs > nowMs) return 'that moment is in the future: this is the newest state'
  const ahead = files.filter(({ timestampMs, claimedMs = 0 }) => timestampMs < targetMs && claimedMs >= targetMs)
  if (ahead.length > 0) {
    const latestMs = Math.max(...ahead.map(({ claimedMs = 0 }) => claimedMs))
    return (
      `${describe(ahead)} a time of up to ${isoTime(latestMs)}, ` +
      `after the moment they were stored: a clock was ahead. The time of storing was used instead. ${advice(ahead)}`
    )
  }
  const reached = plan.at(-1)?.max ?? plan[0].max
  const beyond = files.filter(({ max }) => max > reached)
  for (const file of beyond) {
    const same = beyond.filter(({ level, timestampMs }) => level === file.level && timestampMs === file.timestampMs)
    if (same.length < ONE_TIME_FILES) continue
    return (
      `${describe(same)} one and the same time, ${isoTime(file.timestampMs)}: ` +
      `a clock was ahead, and what was committed until it was right again is not told apart. ${advice(same)}`
    )
  }
  return undefined
}

function describe(files: readonly BackupFile[]): string {
  return `${files.length} files of the backup, with transactions ${first(files)} to ${last(files)}, carry`
}

function advice(files: readonly BackupFile[]): string {
  return `If this is not the state you look for, pass --txid with one of ${first(files)} to ${last(files)}`
}

function first(files: readonly BackupFile[]): string {
  return formatTXID(files.reduce((least, { min }) => (min < least ? min : least), files[0]?.min ?? (0n as TXID)))
}

function last(files: readonly BackupFile[]): string {
  return formatTXID(files.reduce((most, { max }) => (max > most ? max : most), 0n as TXID))
}
