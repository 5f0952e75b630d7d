import { existsSync, lstatSync, mkdirSync, renameSync, rmSync, type Stats } from 'node:fs'
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
import { BY_UMASK } from '../util/directories.ts'
import { nodeFiles } from '../util/files.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import type { BackupSource } from './backup-source.ts'
import { Detours } from './detours.ts'
import { ForeignFileError, UnknownFileError } from './errors.ts'
import type { FollowEvent } from './events.ts'
import { assertOurs, isKnown, takeOver } from './whose.ts'

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
  #positions: PositionFile | undefined
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
   * Throws errors of the store and the backup, which the next pass may not have, and FollowedAlreadyError and
   * UnknownFileError.
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
      if (!(error instanceof ApplyBlockedError)) throw error
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
      this.#positions?.close()
      this.#positions = undefined
      for (const file of this.#replaced.splice(0)) file.close()
    }
  }

  async #bringUpToDate(detours: Detours): Promise<boolean> {
    const { source, path, signal } = this.#options
    const positions = this.#lock()
    signal.throwIfAborted()
    if (this.#applier === undefined && !existsSync(path) && !(await this.#restore(positions))) return true
    const applier = (this.#applier ??= await this.#open(positions))
    const planned = await source.next(applier.position, (txid) => positions.checksumAt(txid), detours.keys)
    const next = detours.taken(planned, this.#options.report)
    switch (next.kind) {
      case 'replace':
        await this.#resync(next.reason)
        return true
      case 'dropped':
        this.#moveAwayDropped(positions, next.txid)
        return true
      case 'apply':
        for (const file of next.files) if (!(await this.#apply(applier, file))) return true
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

  #lock(): PositionFile {
    const { path } = this.#options
    if (this.#positions !== undefined) return this.#positions
    if (existsSync(path) && !existsSync(positionsPath(path))) throw new UnknownFileError(path)
    mkdirSync(dirname(path), { recursive: true, mode: BY_UMASK })
    this.#positions = PositionFile.open(path)
    rmSync(this.#spoolPath, { force: true })
    return this.#positions
  }

  async #open(positions: PositionFile): Promise<Applier> {
    const { path, report } = this.#options
    try {
      const applier = openApplier(path, positions)
      report({ event: 'following', position: applier.position })
      return applier
    } catch (error) {
      const isOther =
        error instanceof UnknownStateError || error instanceof NotDatabaseError || error instanceof ForeignFileError
      if (!isOther) throw error
      return this.#resync(error.message)
    }
  }

  /** False when the file belonged to another history. Then it was replaced, and is at the backup's position. */
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

  /** Replaces the file with a new restore. Renames the old file. */
  async #resync(reason: string): Promise<Applier> {
    const { path, report } = this.#options
    const positions = this.#lock()
    report({ event: 'resyncing', position: this.position, reason })
    await this.#fetch()
    const keptAs = this.#moveAway(positions)
    report({ event: 'kept', path: keptAs, reason })
    this.#moveIn(positions)
    const applier = openApplier(path, positions)
    this.#applier = applier
    return applier
  }

  /** False when the database was dropped, so that there is nothing to restore. */
  async #restore(positions: PositionFile): Promise<boolean> {
    try {
      await this.#fetch()
    } catch (error) {
      if (!(error instanceof DatabaseDroppedError)) throw error
      this.#reportOnce({ event: 'dropped', txid: error.droppedAt, keptAs: undefined })
      return false
    }
    this.#moveIn(positions)
    return true
  }

  #fetched: Position | undefined
  /** The file that the next one replaces. */
  #former: { readonly stats: Stats; readonly isKnown: boolean } | undefined

  /** Restores beside the file, without touching it. */
  async #fetch(): Promise<void> {
    const { source, report, signal, progress } = this.#options
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(this.#incomingPath + suffix, { force: true })
    const startedMs = performance.now()
    const options = { signal, ...(progress === undefined ? {} : { progress }) }
    const { avoided, ...restored } = await source.restore(this.#incomingPath, options)
    for (const { key, problem } of avoided) report({ event: 'avoided', key, problem })
    const { txid, checksum, timestampMs, pageSize, commit, files } = restored
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

  /**
   * Makes the position durable before the file gets its name: after a crash the file's position is known, or there is
   * no file.
   */
  #moveIn(positions: PositionFile): void {
    const { path } = this.#options
    if (this.#fetched === undefined) throw new Error('nothing has been restored')
    positions.reset(this.#fetched)
    if (this.#former !== undefined) takeOver(this.#incomingPath, this.#former.stats, this.#former.isKnown)
    this.#former = undefined
    renameSync(this.#incomingPath, path)
    nodeFiles.syncDirectory(dirname(path))
  }

  #moveAwayDropped(positions: PositionFile, txid: TXID): void {
    const keptAs = this.#moveAway(positions)
    positions.reset(undefined)
    this.#reportOnce({ event: 'dropped', txid, keptAs })
  }

  /** Moves the file away, with its WAL and journal. Programs that have it open continue to read it. */
  #moveAway(positions: PositionFile): string {
    const { path } = this.#options
    const stats = lstatSync(path)
    this.#former = { stats, isKnown: isKnown(stats, this.#applier, positions) }
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
      this.#replaced.push(DatabaseFile.open(keptAs, filesBeneath(dirname(keptAs))))
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

  get #incomingPath(): string {
    return `${this.#options.path}.ltxd-incoming`
  }

  get #spoolPath(): string {
    return `${this.#options.path}.ltxd-spool`
  }
}

/** Another user may write to the directory: no link in it is followed. */
function openApplier(path: string, positions: PositionFile): Applier {
  const applier = Applier.open(path, { positions, durable: true, files: filesBeneath(dirname(path)) })
  try {
    assertOurs(applier, positions)
    return applier
  } catch (error) {
    applier.close()
    throw error
  }
}
