import fs from 'node:fs'
import { promisify } from 'node:util'
import type { KnownDatabase } from '../dataplane/dataplane.ts'
import { peekPageChecksums } from '../log/page-checksums.ts'
import { LogReader } from '../log/reader.ts'
import { assertExpendable, planRetention } from '../log/retention.ts'
import { listSegments } from '../log/segments.ts'
import { logDirectory, readSynced, writeSynced, ZERO_POSITION } from '../log/store.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { errorCode, errorMessage } from '../util/errors.ts'
import { parentOf } from '../util/files.ts'
import { type FilesBeneath, LinkedNameError } from '../util/files-beneath.ts'
import type { Logger } from '../util/log.ts'
import { Repeated } from '../util/repeated.ts'
import { StateDamagedError } from '../util/state-file.ts'

const NOTHING = 0n as TXID
const sync = promisify(fs.fsync)

export interface LogMaintenanceOptions {
  readonly dataDir: string
  readonly root: string
  readonly files: FilesBeneath
  readonly databases: () => Iterable<KnownDatabase>
  readonly retention: { readonly ageMs: number; readonly sizeBytes: number }
  /** The last transaction in the backup; undefined when there is no backup to wait for. */
  readonly uploaded: (database: string) => TXID | undefined
  /** Called for each database in each round. */
  readonly checked: (database: KnownDatabase) => void
  readonly logger: Logger
  readonly nowMs: () => number
  readonly intervalMs: number
}

export interface LogFacts {
  readonly first: TXID | undefined
  readonly bytes: number
}

/** The state of a log at its last check. Until this state changes or `dueMs` comes, there is nothing to remove. */
interface Checked {
  readonly position: Position
  readonly synced: TXID
  readonly uploaded: TXID | undefined
  /** When retention removes the oldest segment; Infinity while the log has only one. */
  readonly dueMs: number
}

/**
 * Maintains the logs in the background. It makes database files durable, which advances the position from which
 * recovery replays, and removes segments that nothing needs any more. An idle database costs nothing.
 */
export class LogMaintenance {
  readonly #options: LogMaintenanceOptions
  readonly #synced = new Map<string, Position>()
  readonly #facts = new Map<string, LogFacts>()
  readonly #checked = new Map<string, Checked>()
  readonly #overdue = new Set<string>()
  readonly #repeated: Repeated
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> = Promise.resolve()

  constructor(options: LogMaintenanceOptions) {
    this.#options = options
    this.#repeated = new Repeated(options.nowMs)
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#working = this.#working.then(() => this.tick())
    }, this.#options.intervalMs)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#working
  }

  /** The database is known no more. One that is made under its name begins anew here. */
  forget(database: string): void {
    for (const known of [this.#synced, this.#facts, this.#checked, this.#overdue]) known.delete(database)
  }

  /** Nothing is known of a log that cannot be listed, because a file or a link is in its place. */
  logFacts(database: string): LogFacts {
    try {
      return this.#facts.get(database) ?? this.#measure(database)
    } catch (error) {
      if (!(error instanceof LinkedNameError) && errorCode(error) !== 'ENOTDIR') throw error
      return { first: undefined, bytes: 0 }
    }
  }

  /** One round over all databases; `start` runs one per interval. */
  async tick(): Promise<void> {
    for (const database of this.#options.databases()) {
      if (database.rejection !== undefined) continue
      try {
        await this.#sync(database)
        this.#retain(database)
        this.#options.checked(database)
      } catch (error) {
        if (!this.#repeated.isDue(database.name, errorMessage(error))) continue
        this.#options.logger.error({ database: database.name, err: error }, 'log maintenance failed: it is retried')
      }
    }
  }

  /** Syncs the log before the database file, so that the durable file is never ahead of the durable log. */
  async #sync(database: KnownDatabase): Promise<void> {
    const { name } = database
    const { files } = this.#options
    const dir = logDirectory(this.#options.dataDir, name)
    const { position, backfilled, tracked } = database.state()
    let synced = this.#synced.get(name)
    // A log that was started anew may have a lower position.
    if (synced === undefined || synced.txid > position.txid) {
      synced = this.#readSynced(name, dir)
      this.#synced.set(name, synced)
    }
    if (!tracked || backfilled.txid <= synced.txid) return
    await new LogReader(files, name, dir, () => database.state().position).sync()
    const path = `${this.#options.root}/${name}`
    for (const suffix of ['', '-wal', '-journal']) {
      await syncOpened(() => files.open(path + suffix, fs.constants.O_RDONLY))
    }
    await syncOpened(() => files.openDirectory(parentOf(path)))
    writeSynced(files, dir, backfilled)
    this.#synced.set(name, backfilled)
  }

  /** A damaged note is written anew at the next sync. Until then nothing is removed from the log. */
  #readSynced(database: string, dir: string): Position {
    try {
      return readSynced(this.#options.files, dir)
    } catch (error) {
      if (!(error instanceof StateDamagedError)) throw error
      this.#options.logger.warn({ database, err: error }, 'it is written anew when the database file is synced')
      return ZERO_POSITION
    }
  }

  #retain(database: KnownDatabase): void {
    const { files, retention, uploaded: uploadedOf, logger, dataDir } = this.#options
    const { name } = database
    const { position } = database.state()
    const synced = this.#synced.get(name)?.txid ?? NOTHING
    const uploaded = uploadedOf(name)
    const nowMs = this.#options.nowMs()
    if (isAsBefore(this.#checked.get(name), { position, synced, uploaded }, nowMs)) return
    const segments = listSegments(files, logDirectory(dataDir, name)).map((segment) => {
      const { size = 0, mtimeMs = nowMs } = files.status(segment.path) ?? {}
      return { ...segment, sizeBytes: size, lastAppendMs: mtimeMs }
    })
    const needed = this.#needed(name)
    const plan = planRetention(segments, { ...retention, nowMs, synced: needed, uploaded })
    assertExpendable(segments, plan.remove, { synced: needed, uploaded })
    for (const { path } of plan.remove) files.unlink(path)
    if (plan.overdueBytes > 0 && !this.#overdue.has(name)) {
      this.#overdue.add(name)
      logger.warn(
        { database: name, overdueBytes: plan.overdueBytes },
        'the log exceeds its retention, because the backup lacks these transactions: check the backup',
      )
    } else if (plan.overdueBytes === 0) {
      this.#overdue.delete(name)
    }
    this.#measure(name)
    const remaining = segments.slice(plan.remove.length)
    const oldMs = remaining.length > 1 ? (remaining[0]?.lastAppendMs ?? nowMs) + retention.ageMs : Infinity
    // A segment that is old enough already does not wait for time, but for a sync or an upload.
    this.#checked.set(name, { position, synced, uploaded, dueMs: oldMs > nowMs ? oldMs : Infinity })
  }

  /**
   * Recovery replays from the synced transaction, and updates the page checksums from the transaction of their last
   * save.
   */
  #needed(name: string): TXID {
    const synced = this.#synced.get(name)?.txid ?? NOTHING
    const { files, dataDir } = this.#options
    const saved = peekPageChecksums(files, `${logDirectory(dataDir, name)}/pages.bin`) ?? synced
    return saved < synced ? saved : synced
  }

  #measure(name: string): LogFacts {
    const { files, dataDir } = this.#options
    const segments = listSegments(files, logDirectory(dataDir, name))
    const bytes = segments.reduce((sum, { path }) => sum + (files.status(path)?.size ?? 0), 0)
    const facts = { first: segments[0]?.first, bytes }
    this.#facts.set(name, facts)
    return facts
  }
}

function isAsBefore(before: Checked | undefined, now: Omit<Checked, 'dueMs'>, nowMs: number): boolean {
  return (
    before !== undefined &&
    before.position.txid === now.position.txid &&
    before.position.checksum === now.position.checksum &&
    before.synced === now.synced &&
    before.uploaded === now.uploaded &&
    nowMs < before.dueMs
  )
}

/** An fsync through any descriptor reaches the file's pages. A missing file needs none. */
async function syncOpened(open: () => number): Promise<void> {
  let fd: number
  try {
    fd = open()
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw error
  }
  try {
    await sync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
