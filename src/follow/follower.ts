import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
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
import { ObjectNotFoundError } from '../objectstore/errors.ts'
import { nodeFiles } from '../util/files.ts'
import type { BackupSource } from './backup-source.ts'
import { SourceChangingError, UnknownFileError } from './errors.ts'
import type { FollowEvent } from './events.ts'

export interface FollowerOptions {
  readonly source: BackupSource
  /** The database file that is kept in step. */
  readonly path: string
  readonly report: (event: FollowEvent) => void
  readonly progress?: (done: number, total: number) => void
  readonly signal: AbortSignal
  readonly now?: () => number
}

/** Compaction and retention may take away what was just listed: so often in one pass it is listed anew. */
const MAX_LISTINGS = 4

/** Keeps one database file in step with its backup: each pass brings it to where the backup is. One pass at a time. */
export class Follower {
  readonly #options: FollowerOptions
  readonly #now: () => number
  #positions: PositionFile | undefined
  #applier: Applier | undefined
  /** Files that were replaced, locked so that programs that still read them do not take the new one's journal for theirs. */
  readonly #replaced: DatabaseFile[] = []
  /** Said already; it is not said again at each pass. */
  #said = ''

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /** Where the file is; undefined while there is none. */
  get position(): Position | undefined {
    return this.#applier?.position
  }

  /**
   * True when the file is where the backup is. False: something stands in the way for now, and has been reported. Throws
   * what the next pass may or may not find mended: that of the store and the backup, FollowedAlreadyError, UnknownFileError.
   */
  async pass(): Promise<boolean> {
    try {
      for (let listing = 1; ; listing++) {
        try {
          return await this.#bringUpToDate()
        } catch (error) {
          if (!(error instanceof ObjectNotFoundError)) throw error
          if (listing >= MAX_LISTINGS) throw new SourceChangingError(this.#options.source.store.url, error.key)
        }
      }
    } catch (error) {
      if (!(error instanceof ApplyBlockedError)) throw error
      this.#sayOnce({ event: 'lagging', position: this.position, reason: error.message })
      return false
    }
  }

  /** After a failure that is none of the follower's own making, the next pass begins with what is in the file. */
  reset(): void {
    const applier = this.#applier
    this.#applier = undefined
    applier?.close()
  }

  close(): void {
    try {
      this.reset()
    } finally {
      this.#positions?.close()
      this.#positions = undefined
      for (const file of this.#replaced.splice(0)) file.close()
    }
  }

  async #bringUpToDate(): Promise<boolean> {
    const { source, path, signal } = this.#options
    const positions = this.#lock()
    signal.throwIfAborted()
    if (this.#applier === undefined && !existsSync(path) && !(await this.#restore(positions))) return true
    const applier = (this.#applier ??= await this.#open(positions))
    const next = await source.next(applier.position, (txid) => positions.checksumAt(txid))
    switch (next.kind) {
      case 'replace':
        await this.#resync(next.reason)
        return true
      case 'dropped':
        this.#putAsideDropped(positions, next.txid)
        return true
      case 'apply':
        for (const file of next.files) if (!(await this.#apply(applier, file))) return true
        break
      case 'current':
    }
    this.#said = ''
    const checkpoint = applier.checkpoint()
    if (checkpoint !== undefined && !checkpoint.complete && next.kind === 'apply') {
      const { walBytes } = applier.status
      this.#options.report({ event: 'wal-held', position: applier.position, walBytes, ...checkpoint })
    }
    return true
  }

  #lock(): PositionFile {
    const { path } = this.#options
    if (this.#positions !== undefined) return this.#positions
    if (existsSync(path) && !existsSync(positionsPath(path))) throw new UnknownFileError(path)
    mkdirSync(dirname(path), { recursive: true })
    this.#positions = PositionFile.open(path)
    rmSync(this.#spoolPath, { force: true })
    return this.#positions
  }

  async #open(positions: PositionFile): Promise<Applier> {
    const { path, report } = this.#options
    try {
      const applier = Applier.open(path, { positions, durable: true })
      report({ event: 'following', position: applier.position })
      return applier
    } catch (error) {
      if (!(error instanceof UnknownStateError || error instanceof NotDatabaseError)) throw error
      return this.#resync(error.message)
    }
  }

  /** False when the step showed that the file belongs to another history: it has been replaced, and is where the backup is. */
  async #apply(applier: Applier, file: BackupFile): Promise<boolean> {
    const { source, report, signal } = this.#options
    const step = await source.describe(file)
    return reportingCorruption(source.store, [file], async () => {
      const incoming = await receive(await source.open(file, signal), this.#spoolPath)
      try {
        const { position, pages } = applier.apply(incoming.bytes, step)
        report({ event: 'applied', position, from: file.min, level: file.level, pages, timestampMs: step.timestampMs })
        return true
      } catch (error) {
        const isOther =
          error instanceof ApplyDivergedError || error instanceof ApplyGapError || error instanceof ApplyInvalidError
        if (!isOther) throw error
        await this.#resync(error.message)
        return false
      } finally {
        incoming.dispose()
      }
    })
  }

  /** A new restore takes the file's place; what was there is kept beside it. */
  async #resync(reason: string): Promise<Applier> {
    const { path, report } = this.#options
    const positions = this.#lock()
    report({ event: 'resyncing', position: this.position, reason })
    await this.#fetch()
    const keptAs = this.#putAside()
    report({ event: 'kept', path: keptAs, reason })
    this.#moveIn(positions)
    const applier = Applier.open(path, { positions, durable: true })
    this.#applier = applier
    return applier
  }

  /** False when the database has been dropped, so that there is nothing to restore. */
  async #restore(positions: PositionFile): Promise<boolean> {
    try {
      await this.#fetch()
    } catch (error) {
      if (!(error instanceof DatabaseDroppedError)) throw error
      this.#sayOnce({ event: 'dropped', txid: error.droppedAt, keptAs: undefined })
      return false
    }
    this.#moveIn(positions)
    return true
  }

  #fetched: Position | undefined

  /** Restores beside the file; nothing of the file is touched. */
  async #fetch(): Promise<void> {
    const { source, report, signal, progress } = this.#options
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(this.#incomingPath + suffix, { force: true })
    const startedMs = performance.now()
    const options = { signal, ...(progress === undefined ? {} : { progress }) }
    const { txid, checksum, timestampMs, pageSize, commit, files } = await source.restore(this.#incomingPath, options)
    this.#fetched = { txid, checksum }
    report({
      event: 'restored',
      position: this.#fetched,
      timestampMs,
      sizeBytes: pageSize * commit,
      files: files.length,
      tookMs: Math.round(performance.now() - startedMs),
    })
  }

  /** The position is durable before the file has its name: whatever a crash leaves there is known, or there is nothing. */
  #moveIn(positions: PositionFile): void {
    const { path } = this.#options
    if (this.#fetched === undefined) throw new Error('nothing has been restored')
    positions.startOver(this.#fetched)
    renameSync(this.#incomingPath, path)
    nodeFiles.syncDirectory(dirname(path))
  }

  #putAsideDropped(positions: PositionFile, txid: TXID): void {
    const keptAs = this.#putAside()
    positions.startOver(undefined)
    this.#sayOnce({ event: 'dropped', txid, keptAs })
  }

  /** Moves the file away, with what SQLite has beside it. Programs that have it open go on reading it, as it is. */
  #putAside(): string {
    const { path } = this.#options
    this.reset()
    const stamp = new Date(this.#now()).toISOString().replace(/[-:]|\.\d+/g, '')
    let keptAs = `${path}.kept-${stamp}`
    for (let i = 2; existsSync(keptAs); i++) keptAs = `${path}.kept-${stamp}-${i}`
    renameSync(path, keptAs)
    for (const suffix of ['-wal', '-shm', '-journal']) {
      if (existsSync(path + suffix)) renameSync(path + suffix, keptAs + suffix)
    }
    nodeFiles.syncDirectory(dirname(path))
    try {
      this.#replaced.push(DatabaseFile.open(keptAs))
    } catch (error) {
      // A program is writing to it: then it has the lock that matters.
      if (!(error instanceof ApplyBlockedError)) throw error
    }
    return keptAs
  }

  #sayOnce(event: FollowEvent): void {
    const said = JSON.stringify(event, (_, value: unknown) =>
      typeof value === 'bigint' ? formatTXID(value as TXID) : value,
    )
    if (said !== this.#said) this.#options.report(event)
    this.#said = said
  }

  get #incomingPath(): string {
    return `${this.#options.path}.ltxd-incoming`
  }

  get #spoolPath(): string {
    return `${this.#options.path}.ltxd-spool`
  }
}
