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
  readonly database: string
  readonly log: LogView
  readonly clock: Clock
  readonly logger: BackupLogger
  /** Of the lease under which this node writes. */
  readonly term: bigint
  /**
   * Where this term began: up to this transaction the backup's history is this node's; what is beyond it and of a lower
   * term is what a deposed leader shipped without anybody having got it. Undefined: nothing is known to be of that kind.
   */
  readonly takenOverAt: TXID | undefined
}

type Item = Pick<BackupFile | BackupMarker, 'key'> & { readonly last: TXID; readonly isFile: boolean }

const HEAD_CONCURRENCY = 16
/** A file of level 0 holds at most 256 transactions; this leaves room for what was shipped by others. */
const LOOK_BACK = 1024n
const FIRST_LOOK_MS = 10_000
const LONGEST_LOOK_MS = 600_000

/**
 * Keeps a backup free of what leaders of lower terms shipped after this one took over, and notices leaders of higher
 * terms. Objects may arrive late, whatever was agreed on: a machine that is paused sends what it had in its buffers.
 */
export class LostTail implements OtherObjects {
  readonly #options: LostTailOptions
  /** Keys that are known to be as they should. */
  readonly #known = new Set<string>()
  #lookMs = FIRST_LOOK_MS
  #nextLookMs: number

  constructor(options: LostTailOptions) {
    this.#options = options
    this.#nextLookMs = options.clock.monotonicMs() + FIRST_LOOK_MS
  }

  /** Whether it is time to look at everything again, even if there is nothing to upload. Less and less often. */
  get isDue(): boolean {
    return this.#options.clock.monotonicMs() >= this.#nextLookMs
  }

  /** Sets aside what does not belong into a whole history: true when there was something, so that the list is old. */
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
    const judged = await limit.map(unknown, async (item) => ({ ...item, isLost: await this.#isLost(item) }))
    // From the end on, so that what is left never has a gap.
    const lost = judged.filter(({ isLost }) => isLost).sort((a, b) => (a.last > b.last ? -1 : 1))
    for (const { key } of lost) await this.#setAside(key, signal)
    return lost.length > 0
  }

  /** Makes the name free for an object of ours, where it is taken by one that is lost. */
  readonly resolve = async ({ key, last, theirs }: Conflict, signal?: AbortSignal): Promise<void> => {
    const { store, database, term, takenOverAt } = this.#options
    const theirTerm = parseTerm(theirs.metadata) ?? 0n
    if (theirTerm > term) throw new BackupFencedError(store.url, database, key, term, theirTerm)
    if (theirTerm === term || takenOverAt === undefined || last <= takenOverAt) {
      throw new BackupConflictError(store.url, key, `it is of term ${theirTerm}, this node leads in term ${term}`)
    }
    await this.#setAside(key, signal)
  }

  /** After an upload, before its position counts. `put`: by us, not found there. */
  async uploaded(file: FileRef, put: boolean, signal?: AbortSignal): Promise<void> {
    const { store, database } = this.#options
    const key = fileKey(store.layout, database, file)
    if (put) this.#known.add(key)
    if (this.isDue) await this.look(signal)
    const from = file.min > LOOK_BACK ? toTXID(file.min - LOOK_BACK) : undefined
    const files = await loadLevel(store, database, file.level, from)
    if (!files.some((other) => other.key === key)) throw new BackupChangingError(store.url, key)
    await this.#clear({ files, markers: [] }, signal)
  }

  /** Everything that carries new transactions, wherever it is. */
  async look(signal?: AbortSignal): Promise<void> {
    const { store, database, clock } = this.#options
    const files = [...(await loadLevel(store, database, 0)), ...(await loadLevel(store, database, SNAPSHOT_LEVEL))]
    await this.#clear({ files, markers: await loadMarkers(store, database) }, signal)
    this.#nextLookMs = clock.monotonicMs() + this.#lookMs
    this.#lookMs = Math.min(2 * this.#lookMs, LONGEST_LOOK_MS)
  }

  async #isLost({ key, last, isFile }: Item): Promise<boolean> {
    const { store, database, term, log, takenOverAt } = this.#options
    const head = await store.head(key)
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
    const kept = await setAside(store, key, signal)
    if (kept === undefined) return
    logger.error(
      {
        db: database,
        key,
        kept,
        term: String(term),
        ...(takenOverAt !== undefined && { takenOverAt: formatTXID(takenOverAt) }),
      },
      'a deposed leader shipped what nobody had got from it: set aside, it is not part of the history',
    )
  }
}
