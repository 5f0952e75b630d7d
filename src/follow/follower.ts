import type { Stats } from 'node:fs'
import { Applier } from '../apply/applier.ts'
import { DatabaseFile } from '../apply/database-file.ts'
import {
  ApplyBlockedError,
  ApplyDivergedError,
  ApplyGapError,
  ApplyInvalidError,
  NotDatabaseError,
  UnknownStateError,
} from '../apply/errors.ts'
import { receive } from '../apply/incoming.ts'
import { PositionFile, positionsPath } from '../apply/positions.ts'
import { DatabaseDroppedError } from '../backup/history/errors.ts'
import type { BackupFile } from '../backup/history/history.ts'
import { reportingCorruption } from '../backup/history/objects.ts'
import { formatTXID, type Position, type TXID } from '../ltx/format/types.ts'
import type { BackupSource } from './backup-source.ts'
import { Detours } from './detours.ts'
import { ForeignFileError, UnknownFileError } from './errors.ts'
import type { FollowEvent } from './events.ts'
import { Place } from './place.ts'
import { assertOurs, binding, type Former, formerOf, takeOver } from './whose.ts'

export interface FollowerOptions {
  readonly source: BackupSource
  /** The database file that follows. */
  readonly path: string
  readonly report: (event: FollowEvent) => void
  readonly progress?: (done: number, total: number) => void
  readonly signal: AbortSignal
  readonly now?: () => number
}

/** Brings one database file to its backup's position in each pass. One pass at a time. */
export class Follower {
  readonly #options: FollowerOptions
  readonly #now: () => number
  #place: Place | undefined
  #positions: PositionFile | undefined
  /** This follower made the file of positions. */
  #madePositions = false
  #applier: Applier | undefined
  /** Replaced files, locked so that programs that still read them do not use the new file's journal. */
  readonly #replaced: DatabaseFile[] = []
  /** The last reported event, so that passes do not repeat it. */
  #reported = ''

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /** The file's position; undefined while there is no file. */
  get position(): Position | undefined {
    return this.#applier?.position
  }

  /**
   * True when the file is at the backup's position. False when another process holds a lock on it, which is reported.
   * Throws errors of the store and the backup, which the next pass may not have, and FollowedAlreadyError,
   * UnknownFileError and ForeignLinkError.
   */
  async pass(): Promise<boolean> {
    const detours = new Detours(this.#options.source.store.url)
    try {
      for (;;) {
        try {
          return await this.#bringUpToDate(detours)
        } catch (error) {
          detours.add(error)
        }
      }
    } catch (error) {
      if (!(error instanceof ApplyBlockedError)) throw this.#place?.named(error) ?? error
      this.#reportOnce({ event: 'lagging', position: this.position, reason: error.message })
      return false
    }
  }

  /** Closes the file. The next pass opens it again and finds its position by its content. */
  reset(): void {
    const applier = this.#applier
    this.#applier = undefined
    applier?.close()
  }

  close(): void {
    try {
      this.reset()
    } finally {
      this.#closePositions()
      for (const file of this.#replaced.splice(0)) file.close()
      this.#place?.close()
      this.#place = undefined
    }
  }

  /** A follower that never got a file leaves no record of its positions. */
  #closePositions(): void {
    const [place, positions] = [this.#place, this.#positions]
    this.#positions = undefined
    try {
      const isNeedless = this.#madePositions && positions?.isEmpty === true && place?.status() === undefined
      // Still under its lock: no other follower has begun with it.
      if (isNeedless) place?.files.remove(positions.path)
    } finally {
      positions?.close()
    }
  }

  async #bringUpToDate(detours: Detours): Promise<boolean> {
    const { source, signal } = this.#options
    const place = (this.#place ??= Place.hold(this.#options.path))
    const positions = this.#lock(place)
    signal.throwIfAborted()
    const isMissing = this.#applier === undefined && place.status() === undefined
    if (isMissing && !(await this.#restore(place, positions))) return true
    const applier = (this.#applier ??= await this.#open(place, positions))
    const planned = await source.next(applier.position, (txid) => positions.checksumAt(txid), detours.keys)
    const next = detours.taken(planned, this.#options.report)
    switch (next.kind) {
      case 'replace':
        await this.#resync(place, positions, next.reason)
        return true
      case 'dropped':
        this.#moveAwayDropped(place, positions, next.txid)
        return true
      case 'apply':
        for (const file of next.files) if (!(await this.#apply(place, positions, applier, file))) return true
        break
      case 'current':
    }
    this.#reported = ''
    const checkpoint = applier.checkpoint()
    if (checkpoint !== undefined && !checkpoint.complete && next.kind === 'apply') {
      const { walBytes } = applier.status
      this.#options.report({ event: 'wal-held', position: applier.position, walBytes, ...checkpoint })
    }
    return true
  }

  #lock(place: Place): PositionFile {
    const { files, path } = place
    if (this.#positions !== undefined) return this.#positions
    if (place.status() !== undefined && !files.exists(positionsPath(path))) throw new UnknownFileError(path)
    place.assertOwnsFiles()
    this.#madePositions = !files.exists(positionsPath(path))
    const positions = PositionFile.open(path, files)
    if (positions.isOwn || place.isClosed) return (this.#positions = positions)
    // Of the directory's owner, who followed before, or invents positions.
    files.remove(positions.path)
    positions.close()
    return (this.#positions = PositionFile.open(path, files))
  }

  async #open(place: Place, positions: PositionFile): Promise<Applier> {
    try {
      const applier = this.#openApplier(place, positions)
      this.#options.report({ event: 'following', position: applier.position })
      return applier
    } catch (error) {
      const isOther =
        error instanceof UnknownStateError || error instanceof NotDatabaseError || error instanceof ForeignFileError
      if (!isOther) throw error
      return this.#resync(place, positions, error.message)
    }
  }

  /** Another user may write to the directory: no link in it is followed. */
  #openApplier(place: Place, positions: PositionFile): Applier {
    const applier = Applier.open(place.path, { positions, durable: true, files: place.files })
    try {
      assertOurs(place, applier, positions, this.#options.source)
      return applier
    } catch (error) {
      applier.close()
      throw error
    }
  }

  /** False when the file belonged to another history. Then it was replaced, and is at the backup's position. */
  async #apply(place: Place, positions: PositionFile, applier: Applier, file: BackupFile): Promise<boolean> {
    const { source, report, signal } = this.#options
    const step = await source.describe(file)
    return reportingCorruption(source.store, [file], async () => {
      const incoming = await receive(await source.open(file, signal), place.directory)
      try {
        const { position, pages } = applier.apply(incoming.bytes, step)
        report({ event: 'applied', position, from: file.min, level: file.level, pages, timestampMs: step.timestampMs })
        return true
      } catch (error) {
        const isOther =
          error instanceof ApplyDivergedError || error instanceof ApplyGapError || error instanceof ApplyInvalidError
        if (!isOther) throw error
        await this.#resync(place, positions, error.message)
        return false
      } finally {
        await incoming.dispose()
      }
    })
  }

  /** Replaces the file with a new restore. Renames the old file. */
  async #resync(place: Place, positions: PositionFile, reason: string): Promise<Applier> {
    const { report } = this.#options
    report({ event: 'resyncing', position: this.position, reason })
    await this.#fetch(place)
    const keptAs = this.#moveAway(place, positions)
    report({ event: 'kept', path: keptAs, reason })
    this.#moveIn(place, positions)
    return (this.#applier = this.#openApplier(place, positions))
  }

  /** False when the database was dropped, so that there is nothing to restore. */
  async #restore(place: Place, positions: PositionFile): Promise<boolean> {
    try {
      await this.#fetch(place)
    } catch (error) {
      if (!(error instanceof DatabaseDroppedError)) throw error
      this.#reportOnce({ event: 'dropped', txid: error.droppedAt, keptAs: undefined })
      return false
    }
    this.#moveIn(place, positions)
    return true
  }

  #fetched: { readonly position: Position; readonly stats: Stats } | undefined
  /** The file that the next one replaces. */
  #former: Former | undefined

  /** Restores beside the file, without touching it. */
  async #fetch(place: Place): Promise<void> {
    const { source, report, signal, progress } = this.#options
    place.removeIncoming()
    const startedMs = performance.now()
    let stats: Stats | undefined
    const published = (file: Stats) => (stats = file)
    const options = { signal, published, ...(progress === undefined ? {} : { progress }) }
    const { avoided, ...restored } = await source.restore(place.heldIncoming, options)
    if (stats === undefined) throw new Error('a restore that ends without an error has a file')
    for (const { key, problem } of avoided) report({ event: 'avoided', key, problem })
    const { txid, checksum, timestampMs, pageSize, commit, files } = restored
    const position = { txid, checksum }
    this.#fetched = { position, stats }
    report({
      event: 'restored',
      position,
      timestampMs,
      sizeBytes: pageSize * commit,
      files: files.length,
      tookMs: Math.round(performance.now() - startedMs),
    })
  }

  /**
   * Makes the position durable before the file gets its name: after a crash the file's position is known, or there is
   * no file.
   */
  #moveIn(place: Place, positions: PositionFile): void {
    if (this.#fetched === undefined) throw new Error('nothing has been restored')
    const { position, stats } = this.#fetched
    const former = this.#former
    this.#former = undefined
    place.moveIn(stats, (fd) => {
      positions.reset(position, binding(place, this.#options.source, stats))
      if (former !== undefined) takeOver(place, fd, former)
    })
  }

  #moveAwayDropped(place: Place, positions: PositionFile, txid: TXID): void {
    const keptAs = this.#moveAway(place, positions)
    positions.reset(undefined)
    this.#reportOnce({ event: 'dropped', txid, keptAs })
  }

  /** Moves the file away, with its WAL and journal. Programs that have it open continue to read it. */
  #moveAway(place: Place, positions: PositionFile): string {
    this.#former = formerOf(place, this.#applier, positions)
    this.reset()
    const keptAs = place.moveAway(this.#now())
    try {
      this.#replaced.push(DatabaseFile.open(keptAs, place.files))
    } catch (error) {
      // A program that writes to the file holds the lock already.
      if (!(error instanceof ApplyBlockedError)) throw error
    }
    return keptAs
  }

  #reportOnce(event: FollowEvent): void {
    const text = JSON.stringify(event, (_, value: unknown) =>
      typeof value === 'bigint' ? formatTXID(value as TXID) : value,
    )
    if (text !== this.#reported) this.#options.report(event)
    this.#reported = text
  }
}
