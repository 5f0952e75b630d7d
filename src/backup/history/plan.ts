/**
 * Chooses the files that restore a database as of a target. Pure: it decides from keys and times alone, exactly as
 * Litestream's `CalcRestorePlan` (v0.5.18) does, except where ltxd's markers add what keys cannot express.
 */

import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import { isoTime } from '../../util/time.ts'
import { BackupGapError, DatabaseDroppedError, TargetUnavailableError } from './errors.ts'
import { type BackupFile, type BackupHistory, type BackupMarker, compareTXID } from './history.ts'
import { SNAPSHOT_LEVEL } from './layout.ts'
import { restorableEnds } from './restorable-ends.ts'

/** A timestamp selects strictly older transactions. A TXID is inclusive, and must be where a file ends. */
export type Target =
  | { readonly kind: 'newest' }
  | { readonly kind: 'txid'; readonly txid: TXID }
  | { readonly kind: 'timestamp'; readonly timestampMs: number }

export const NEWEST: Target = { kind: 'newest' }

/**
 * In the order of application. Each file begins at most one past the end of the one before, and ends later. Never
 * empty.
 */
export type Plan = readonly [BackupFile, ...BackupFile[]]

/** Throws BackupGapError, DatabaseDroppedError or TargetUnavailableError. */
export function planRestore(history: BackupHistory, target: Target): Plan {
  const { chain, reached } = longestChain(history, target)
  const dropped = droppedAt(history, target, reached)
  if (dropped !== undefined) throw new DatabaseDroppedError(history.database, dropped.txid, dropped.timestampMs)
  const [first, ...rest] = chain
  if (first === undefined || (target.kind === 'txid' && reached < target.txid))
    throw unavailable(history, target, reached)
  if (target.kind === 'newest') failIfBeyondGap(history, reached)
  return [first, ...rest]
}

/**
 * A plan that ends at the same transaction as `planRestore`'s, without the objects under these keys; undefined where
 * the others do not hold one. Throws the errors of `planRestore`.
 */
export function planAround(history: BackupHistory, target: Target, avoid: ReadonlySet<string>): Plan | undefined {
  const direct = planRestore(history, target)
  if (!direct.some(({ key }) => avoid.has(key))) return direct
  const { max: txid } = direct.at(-1) ?? direct[0]
  const { chain, reached } = longestChain(without(history, avoid), { kind: 'txid', txid })
  const [first, ...rest] = chain
  return first === undefined || reached < txid ? undefined : [first, ...rest]
}

/** The last transaction that can be restored without these objects; undefined when there is none. */
export function newestWithout(history: BackupHistory, avoid: ReadonlySet<string>): TXID | undefined {
  return restorableRange(without(history, avoid))?.last
}

/** The history without the objects under these keys. */
export function without(history: BackupHistory, avoid: ReadonlySet<string>): BackupHistory {
  const isLeft = ({ key }: { readonly key: string }) => !avoid.has(key)
  return { ...history, files: history.files.filter(isLeft), markers: history.markers.filter(isLeft) }
}

/** The first and last TXID a plan can end at; undefined when there is none. */
export function restorableRange(history: BackupHistory): { readonly first: TXID; readonly last: TXID } | undefined {
  const ends = sortedEnds(history)
  const [first, last] = [ends[0], ends.at(-1)]
  return first === undefined || last === undefined ? undefined : { first, last }
}

/** Every TXID a plan can end at, ascending. Makes a plan for each: for tests and reports. */
export function restorablePoints(history: BackupHistory): TXID[] {
  return boundaries(history).filter((txid) => isRestorable(history, txid))
}

export function formatTarget(target: Target): string {
  switch (target.kind) {
    case 'newest':
      return 'the newest state'
    case 'txid':
      return `transaction ${formatTXID(target.txid)}`
    case 'timestamp':
      return isoTime(target.timestampMs)
  }
}

/** From the newest qualifying snapshot, or from nothing, as far as files join. */
function longestChain(history: BackupHistory, target: Target): { chain: readonly BackupFile[]; reached: TXID } {
  const files = history.files.filter((file) => qualifies(file, target))
  const snapshot = newestSnapshot(files)
  const chain = snapshot === undefined ? [] : [snapshot]
  return { reached: extend(chain, files, history.markers, target), chain }
}

function qualifies(file: BackupFile, target: Target): boolean {
  switch (target.kind) {
    case 'newest':
      return true
    case 'txid':
      return file.max <= target.txid
    case 'timestamp':
      return file.timestampMs < target.timestampMs
  }
}

function newestSnapshot(files: readonly BackupFile[]): BackupFile | undefined {
  return files
    .filter((file) => file.level === SNAPSHOT_LEVEL && file.min === 1n)
    .reduce<BackupFile | undefined>(
      (newest, file) => (newest === undefined || file.max >= newest.max ? file : newest),
      undefined,
    )
}

/** Extends the chain greedily by the file that reaches furthest. Returns where the chain ends. */
function extend(
  chain: BackupFile[],
  files: readonly BackupFile[],
  markers: readonly BackupMarker[],
  target: Target,
): TXID {
  const rest = files.filter((file) => file.level !== SNAPSHOT_LEVEL).sort((a, b) => compareTXID(a.min, b.min))
  let current = chain.at(-1)?.max ?? (0n as TXID)
  let next = 0
  let best: BackupFile | undefined
  for (;;) {
    // Files ascend by min, so a file that joined once still joins later: each file is visited once.
    for (let file = rest[next]; file !== undefined && file.min <= current + 1n; file = rest[++next]) {
      if (!crossesReset(file, current, markers) && (best === undefined || isBetter(file, best))) best = file
    }
    if (best === undefined || best.max <= current) return current
    if (target.kind === 'txid' && current >= target.txid) return current
    chain.push(best)
    current = best.max
  }
}

function isBetter(file: BackupFile, best: BackupFile): boolean {
  if (file.max !== best.max) return file.max > best.max
  if (file.min !== best.min) return file.min < best.min
  if (file.level !== best.level) return file.level > best.level
  return file.timestampMs < best.timestampMs
}

/**
 * A file that crosses a reset cannot be applied to the state before it. A file from transaction 1 needs no prior
 * state.
 */
function crossesReset(file: BackupFile, current: TXID, markers: readonly BackupMarker[]): boolean {
  if (file.min === 1n) return false
  return markers.some(({ kind, txid }) => kind === 'reset' && current < txid && file.max >= txid)
}

/** The last drop before the target, if the database was not created again after it. */
function droppedAt(history: BackupHistory, target: Target, reached: TXID): BackupMarker | undefined {
  const dropped = history.markers.filter(({ kind }) => kind === 'dropped')
  const last = dropped.findLast((marker) => {
    if (target.kind === 'txid') return marker.txid <= target.txid
    return target.kind === 'newest' || marker.timestampMs < target.timestampMs
  })
  return last !== undefined && last.txid > reached && !livesAgain(history, target, last) ? last : undefined
}

/** Whether the database was created again after the drop, as of the target. */
function livesAgain(history: BackupHistory, target: Target, dropped: BackupMarker): boolean {
  return history.files.some((file) => file.max > dropped.txid && qualifies(file, target))
}

function failIfBeyondGap(history: BackupHistory, current: TXID): void {
  const beyond = history.files
    .filter((file) => file.level !== SNAPSHOT_LEVEL && file.min > current + 1n)
    .sort((a, b) => compareTXID(a.min, b.min))[0]
  if (beyond !== undefined) throw new BackupGapError(history.database, current, beyond.min)
}

function sortedEnds(history: BackupHistory): TXID[] {
  return [...restorableEnds(history)].sort(compareTXID)
}

function boundaries(history: BackupHistory): TXID[] {
  return [...new Set(history.files.map((file) => file.max))].sort(compareTXID)
}

function isRestorable(history: BackupHistory, txid: TXID): boolean {
  const target: Target = { kind: 'txid', txid }
  const { reached } = longestChain(history, target)
  return reached === txid && droppedAt(history, target, reached) === undefined
}

function unavailable(history: BackupHistory, target: Target, reached: TXID): Error {
  const { database, files } = history
  const [earliest] = [...files].sort((a, b) => compareTXID(a.min, b.min))
  if (target.kind === 'newest' && earliest !== undefined) return new BackupGapError(database, 0n as TXID, earliest.min)
  const range = restorableRange(history)
  if (range === undefined) {
    return new TargetUnavailableError(database, formatTarget(target), 'the backup has no restorable state')
  }
  const span = `restorable are ${formatTXID(range.first)} to ${formatTXID(range.last)}`
  if (target.kind !== 'txid') {
    const oldest = Math.min(...files.filter((file) => file.max === range.first).map((file) => file.timestampMs))
    const since = isoTime(oldest)
    return new TargetUnavailableError(database, formatTarget(target), `the backup begins later, at ${since}; ${span}`)
  }
  const after = sortedEnds(history).find((txid) => txid >= target.txid)
  const nearest = [reached === 0n ? undefined : reached, after].filter((txid) => txid !== undefined).map(formatTXID)
  return new TargetUnavailableError(
    database,
    formatTarget(target),
    `no file ends there, or retention has removed what it builds on; ${span}, next to it: ${nearest.join(' and ')}`,
  )
}
