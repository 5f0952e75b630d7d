import pLimit from 'p-limit'
import type { LogView } from '../../log/view.ts'
import { formatTXID, toTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupLogger, Clock } from '../../util/clock.ts'
import { BackupChangingError, BackupConflictError, BackupFencedError } from '../history/errors.ts'
import { type BackupFile, type BackupHistory, type BackupMarker, loadLevel, loadMarkers } from '../history/history.ts'
import { fileKey, type FileRef, SNAPSHOT_LEVEL } from '../history/layout.ts'
import { parseMetadata, parseTerm } from '../history/metadata.ts'
import type { Conflict } from '../history/put.ts'
import { checksumInLog } from './reconcile.ts'
import { setAside } from './set-aside.ts'
import type { OtherObjects } from './upload.ts'

export interface LostTailOptions {
  readonly store: ObjectStore
  /** The store, or who knows what it would answer. */
  readonly head: ObjectStore['head']
  readonly database: string
  readonly log: LogView
  readonly clock: Clock
  readonly logger: BackupLogger
  /** The term of the lease under which this node writes. */
  readonly term: bigint
  /**
   * Where this term began: up to this transaction the backup's history is this node's. Objects of lower terms beyond
   * it were shipped by a deposed leader and reached no other node. Undefined: no object is known to be of that kind.
   */
  readonly takenOverAt: TXID | undefined
  /**
   * Upkeep of this node lists the backup from time to time, and merges only what the node knows. Elsewhere a late
   * object would be merged soon, so each upload is followed by a listing.
   */
  readonly isSurveyed: boolean
}

type Item = Pick<BackupFile | BackupMarker, 'key'> & { readonly last: TXID; readonly isFile: boolean }

const HEAD_CONCURRENCY = 16
/** A level-0 file holds at most 256 transactions. The rest is room for files shipped by others. */
const LISTED_BEFORE = 1024n
const FIRST_CHECK_MS = 10_000
const LONGEST_CHECK_MS = 600_000
const LONGEST_SURVEYED_CHECK_MS = 3_600_000
/**
 * For this long after a take-over each upload is followed by a listing, also where there are surveys. No connection
 * that a deposed leader has left lives longer.
 */
const CLOSE_WATCH_MS = 300_000

/**
 * Removes from a backup what leaders of lower terms shipped after this one took over, and detects leaders of higher
 * terms. Objects can arrive late whatever was agreed: a paused machine later sends its buffers.
 */
export class LostTail implements OtherObjects {
  readonly #options: LostTailOptions
  /** Keys that are known to belong to the history. */
  readonly #known = new Set<string>()
  #checkMs = FIRST_CHECK_MS
  #nextCheckMs: number
  #closeWatchUntilMs: number

  constructor(options: LostTailOptions) {
    this.#options = options
    const nowMs = options.clock.monotonicMs()
    this.#nextCheckMs = nowMs + FIRST_CHECK_MS
    this.#closeWatchUntilMs = nowMs + CLOSE_WATCH_MS
  }

  /** Whether everything must be checked again, even if there is nothing to upload. The interval doubles each time. */
  get isDue(): boolean {
    return this.#options.clock.monotonicMs() >= this.#nextCheckMs
  }

  /**
   * Sets aside files and markers that do not belong to the history. True when there were any: the listing is then
   * stale.
   */
  async clear(history: BackupHistory, signal?: AbortSignal): Promise<boolean> {
    const { takenOverAt } = this.#options
    if (takenOverAt === undefined) return false
    const listed = new Set([...history.files, ...history.markers].map(({ key }) => key))
    for (const key of this.#known) if (!listed.has(key)) this.#known.delete(key)
    return this.#clear(history, signal)
  }

  async #clear({ files, markers }: Pick<BackupHistory, 'files' | 'markers'>, signal?: AbortSignal): Promise<boolean> {
    const { takenOverAt = 0n } = this.#options
    const items: Item[] = [
      ...files.map(({ key, max }) => ({ key, last: max, isFile: true })),
      ...markers.map(({ key, txid }) => ({ key, last: txid, isFile: false })),
    ]
    const unknown = items.filter(({ key, last }) => last > takenOverAt && !this.#known.has(key))
    const limit = pLimit(HEAD_CONCURRENCY)
    const judged = await limit.map(unknown, async (item) => ({ ...item, isLost: await this.#isLost(item, signal) }))
    // From the end backwards, so that the remaining files never have a gap.
    const lost = judged.filter(({ isLost }) => isLost).sort((a, b) => (a.last > b.last ? -1 : 1))
    for (const { key } of lost) await this.#setAside(key, signal)
    if (lost.length > 0) this.#closeWatchUntilMs = this.#options.clock.monotonicMs() + CLOSE_WATCH_MS
    return lost.length > 0
  }

  /** Frees a key for an object of ours if a lost object holds it. */
  readonly resolve = async ({ key, last, theirs }: Conflict, signal?: AbortSignal): Promise<void> => {
    const { store, database, term, takenOverAt } = this.#options
    const theirTerm = parseTerm(theirs.metadata) ?? 0n
    if (theirTerm > term) throw new BackupFencedError(store.url, database, key, term, theirTerm)
    if (theirTerm === term || takenOverAt === undefined || last <= takenOverAt) {
      throw new BackupConflictError(store.url, key, `it is of term ${theirTerm}, this node leads in term ${term}`)
    }
    await this.#setAside(key, signal)
  }

  /**
   * Runs after an upload, before its position counts. `put`: this node stored the file just now. Where there are
   * surveys, they show later on what is late.
   */
  async uploaded(file: FileRef, put: boolean, signal?: AbortSignal): Promise<void> {
    const { store, database, clock, isSurveyed } = this.#options
    const key = fileKey(store.layout, database, file)
    if (put) this.#known.add(key)
    if (this.isDue) await this.check(signal)
    if (isSurveyed && clock.monotonicMs() >= this.#closeWatchUntilMs) return
    const from = file.min > LISTED_BEFORE ? toTXID(file.min - LISTED_BEFORE) : undefined
    const files = await loadLevel(store, database, file.level, { from, signal })
    if (!files.some((other) => other.key === key)) throw new BackupChangingError(store.url, key)
    await this.#clear({ files, markers: [] }, signal)
  }

  /** Checks everything that carries new transactions, at any level. */
  async check(signal?: AbortSignal): Promise<void> {
    const { store, database, clock, isSurveyed } = this.#options
    const files = [
      ...(await loadLevel(store, database, 0, { signal })),
      ...(await loadLevel(store, database, SNAPSHOT_LEVEL, { signal })),
    ]
    await this.#clear({ files, markers: await loadMarkers(store, database, signal) }, signal)
    this.#nextCheckMs = clock.monotonicMs() + this.#checkMs
    this.#checkMs = Math.min(2 * this.#checkMs, isSurveyed ? LONGEST_SURVEYED_CHECK_MS : LONGEST_CHECK_MS)
  }

  async #isLost({ key, last, isFile }: Item, signal: AbortSignal | undefined): Promise<boolean> {
    const { store, database, term, log, takenOverAt } = this.#options
    const head = await this.#options.head(key, signal)
    if (head === undefined) return false
    const { term: theirTerm = 0n, postApplyChecksum } = parseMetadata(head.metadata)
    if (theirTerm > term) throw new BackupFencedError(store.url, database, key, term, theirTerm)
    const belongs =
      theirTerm === term ||
      takenOverAt === undefined ||
      (isFile && postApplyChecksum !== undefined && (await checksumInLog(log, last)) === postApplyChecksum)
    if (belongs) this.#known.add(key)
    return !belongs
  }

  async #setAside(key: string, signal?: AbortSignal): Promise<void> {
    const { store, database, logger, term, takenOverAt } = this.#options
    this.#known.delete(key)
    const copy = await setAside(store, key, signal)
    if (copy === undefined) return
    logger.error(
      {
        database,
        key,
        copy,
        term: String(term),
        ...(takenOverAt !== undefined && { takenOverAt: formatTXID(takenOverAt) }),
      },
      'a deposed leader shipped transactions that no other node received: moved its object out of the history',
    )
  }
}
