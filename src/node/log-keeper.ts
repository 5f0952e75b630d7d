import fs from 'node:fs'
import type { KnownDatabase } from '../dataplane/dataplane.ts'
import { peekPageChecksums } from '../log/page-checksums.ts'
import { LogReader } from '../log/reader.ts'
import { assertExpendable, planRetention } from '../log/retention.ts'
import { listSegments } from '../log/segments.ts'
import { logDirectory, readSynced, writeSynced } from '../log/store.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { errorCode, errorMessage } from '../util/errors.ts'
import { nodeFiles as files } from '../util/files.ts'
import type { Logger } from '../util/log.ts'

const NOTHING = 0n as TXID

export interface LogKeeperOptions {
  readonly dataDir: string
  readonly root: string
  readonly databases: () => Iterable<KnownDatabase>
  readonly retention: { readonly ageMs: number; readonly sizeBytes: number }
  /** The last transaction that the backup holds; undefined when there is no backup to wait for. */
  readonly uploaded: (database: string) => TXID | undefined
  readonly logger: Logger
  readonly nowMs: () => number
  readonly intervalMs: number
}

export interface LogFacts {
  readonly first: TXID | undefined
  readonly bytes: number
}

/** What a log was when it was last looked at. While that holds, and it is not `againMs` yet, there is nothing to do. */
interface Look {
  readonly position: Position
  readonly synced: TXID
  readonly uploaded: TXID | undefined
  /** When its oldest segment is too old to be kept; never while it has one alone. */
  readonly againMs: number
}

/**
 * Looks after the logs in the background: makes database files durable, which moves the point from which a recovery would have to
 * replay, and removes segments that nobody needs any more. A database that nothing happens to costs nothing.
 */
export class LogKeeper {
  readonly #options: LogKeeperOptions
  readonly #synced = new Map<string, Position>()
  readonly #facts = new Map<string, LogFacts>()
  readonly #looks = new Map<string, Look>()
  readonly #overdue = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> = Promise.resolve()

  constructor(options: LogKeeperOptions) {
    this.#options = options
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

  logFacts(database: string): LogFacts {
    return this.#facts.get(database) ?? this.#look(database)
  }

  /** One round; `start` makes one each interval. */
  async tick(): Promise<void> {
    for (const database of this.#options.databases()) {
      if (database.rejection !== undefined) continue
      try {
        await this.#sync(database)
        this.#retain(database)
      } catch (error) {
        this.#options.logger.error(
          { database: database.name, error: errorMessage(error) },
          'looking after the log failed',
        )
      }
    }
  }

  /** The log first: the database file is never known to be ahead of it. */
  async #sync(database: KnownDatabase): Promise<void> {
    const { name } = database
    const dir = logDirectory(this.#options.dataDir, name)
    const { position, backfilled, tracked } = database.state()
    let synced = this.#synced.get(name)
    // A log that began anew may have gone back.
    if (synced === undefined || synced.txid > position.txid) {
      synced = readSynced(files, dir)
      this.#synced.set(name, synced)
    }
    if (!tracked || backfilled.txid <= synced.txid) return
    await new LogReader(name, dir, () => database.state().position).sync()
    const path = `${this.#options.root}/${name}`
    await syncFile(path)
    await syncFile(`${path}-wal`)
    await syncFile(`${path}-journal`)
    await syncFile(path.slice(0, path.lastIndexOf('/')))
    writeSynced(files, dir, backfilled)
    this.#synced.set(name, backfilled)
  }

  #retain(database: KnownDatabase): void {
    const { retention, uploaded: uploadedOf, logger, dataDir } = this.#options
    const { name } = database
    const { position } = database.state()
    const synced = this.#synced.get(name)?.txid ?? NOTHING
    const uploaded = uploadedOf(name)
    const nowMs = this.#options.nowMs()
    if (isAsBefore(this.#looks.get(name), { position, synced, uploaded }, nowMs)) return
    const segments = listSegments(files, logDirectory(dataDir, name)).map((segment) => {
      const { size, mtimeMs } = fs.statSync(segment.path)
      return { ...segment, sizeBytes: size, lastAppendMs: mtimeMs }
    })
    const needed = this.#needed(name)
    const plan = planRetention(segments, { ...retention, nowMs, synced: needed, uploaded })
    assertExpendable(segments, plan.remove, { synced: needed, uploaded })
    for (const { path } of plan.remove) fs.unlinkSync(path)
    if (plan.overdueBytes > 0 && !this.#overdue.has(name)) {
      this.#overdue.add(name)
      logger.warn(
        { database: name, bytes: plan.overdueBytes },
        'the log is larger than its retention allows: kept, because the backup lacks it',
      )
    } else if (plan.overdueBytes === 0) {
      this.#overdue.delete(name)
    }
    this.#look(name)
    const kept = segments.slice(plan.remove.length)
    // One that is old enough already waits for something else than time.
    const oldMs = kept.length > 1 ? (kept[0]?.lastAppendMs ?? nowMs) + retention.ageMs : Infinity
    this.#looks.set(name, { position, synced, uploaded, againMs: oldMs > nowMs ? oldMs : Infinity })
  }

  /** Recovery replays what follows the synced transaction, and carries the page checksums on from where they were saved. */
  #needed(name: string): TXID {
    const synced = this.#synced.get(name)?.txid ?? NOTHING
    const saved = peekPageChecksums(files, `${logDirectory(this.#options.dataDir, name)}/pages.bin`) ?? synced
    return saved < synced ? saved : synced
  }

  #look(name: string): LogFacts {
    const segments = listSegments(files, logDirectory(this.#options.dataDir, name))
    const bytes = segments.reduce((sum, { path }) => sum + (fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0)
    const facts = { first: segments[0]?.first, bytes }
    this.#facts.set(name, facts)
    return facts
  }
}

function isAsBefore(before: Look | undefined, now: Omit<Look, 'againMs'>, nowMs: number): boolean {
  return (
    before !== undefined &&
    before.position.txid === now.position.txid &&
    before.position.checksum === now.position.checksum &&
    before.synced === now.synced &&
    before.uploaded === now.uploaded &&
    nowMs < before.againMs
  )
}

/** fsync by another descriptor reaches the same pages. A file that is gone needs none. */
async function syncFile(path: string): Promise<void> {
  try {
    const handle = await fs.promises.open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}
