import type { CheckpointStatus } from '../api/status.ts'
import type { Sharing } from '../capture/events.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { logDirectory } from '../log/store.ts'
import type { FromClient, ToClient } from '../replica/client/messages.ts'
import { LocalClientProcess } from '../replica/local-client.ts'
import type { Logger } from '../util/log.ts'
import { QUIET_MS, QuietDatabases } from './quiet-databases.ts'

export interface CheckpointsOptions {
  readonly plane: DataPlane
  readonly mountDir: string
  /** The backing directory. */
  readonly data: Pick<DataDirectory, 'dir' | 'root' | 'files' | 'descriptor'>
  readonly logger: Logger
}

/** The last report on one database's WAL. */
interface Known {
  isGuarded: boolean
  count: number
  totalMs: number
  lastMs: number
  /** Frames of the WAL, and how many of them were not in the database file, at the last checkpoint. */
  frames: number
  left: number
  heardAtMs: number
  alarms: number
  /** The warning about a long WAL was logged. */
  isLong: boolean
}

const RESTART_MS = 200
const WATCH_MS = 2_000
/** A WAL of this length means that a reader does not end, or that the local client does not work. */
const LONG_BYTES = 256 << 20
/** A client that has reported nothing about a long WAL for this long is replaced. */
const SILENT_MS = 10_000

/**
 * While this node leads, only its local client checkpoints the databases that several connections have open, and it
 * brings every quiet database into its file (docs/decisions/020-checkpoints.md). The client starts with the first such
 * database, and is restarted when it ends. Without a client, applications checkpoint by themselves.
 */
export class Checkpoints {
  readonly #options: CheckpointsOptions
  readonly #databases = new Map<string, Known>()
  #leads = false
  #client: LocalClientProcess | undefined
  readonly #quiet: QuietDatabases
  #watch: NodeJS.Timeout | undefined
  #quietWatch: NodeJS.Timeout | undefined
  #restart: NodeJS.Timeout | undefined

  constructor(options: CheckpointsOptions) {
    this.#options = options
    this.#quiet = new QuietDatabases(options.plane)
    options.plane.observe({
      sharing: (name, sharing) => this.#changed(name, sharing),
      guarded: (name) => void this.#known(name).alarms++,
      unexplained: (name) => this.#checkpoint(name),
    })
  }

  /** This node leads from now on. */
  start(): void {
    this.#leads = true
    clearInterval(this.#watch)
    clearInterval(this.#quietWatch)
    this.#quietWatch = setInterval(() => this.#checkpointQuiet(), QUIET_MS / 4)
    this.#watch = setInterval(() => this.#checkLengths(), WATCH_MS)
    for (const [name, sharing] of this.#options.plane.sharing) this.#changed(name, sharing)
  }

  /** Resolves when the client has released all its locks. */
  async stop(): Promise<void> {
    this.#leads = false
    clearInterval(this.#watch)
    clearInterval(this.#quietWatch)
    clearTimeout(this.#restart)
    const client = this.#client
    this.#client = undefined
    await client?.close()
    for (const known of this.#databases.values()) known.isGuarded = false
  }

  /** This node leads the database from now on. */
  resume(name: string): void {
    const sharing = this.#options.plane.sharing.get(name)
    if (sharing !== undefined) this.#changed(name, sharing)
  }

  status(name: string): CheckpointStatus {
    const walBytes = this.#walBytes(name)
    const known = this.#databases.get(name)
    if (known === undefined) return { walBytes, isGuarded: false, count: 0, totalMs: 0, lastMs: 0, alarms: 0 }
    const { isGuarded, count, totalMs, lastMs, alarms, frames, left } = known
    return { walBytes, isGuarded, count, totalMs, lastMs, alarms, ...(isGuarded && { frames, left }) }
  }

  #changed(name: string, sharing: Sharing): void {
    if (!this.#leads || this.#isWithheld(name)) return
    const isShared = sharing !== 'sole'
    const known = this.#known(name)
    if (isShared) known.heardAtMs = performance.now()
    if (isShared && this.#client === undefined) this.#startClient()
    else void this.#client?.send(isShared ? this.#guard(name, sharing) : { type: 'leave', database: name })
  }

  #checkpointQuiet(): void {
    for (const database of this.#quiet.due(performance.now())) this.#checkpoint(database)
  }

  /** Has a database that one connection has open checkpointed; before, its wal-index is compared. */
  #checkpoint(database: string): void {
    if (!this.#leads || this.#isWithheld(database)) return
    if (this.#client === undefined) this.#startClient()
    const logDir = logDirectory(this.#options.data.dir, database)
    void this.#client?.send({ type: 'quiet', database, logDir })
  }

  #startClient(): void {
    const { data, plane, mountDir, logger } = this.#options
    clearTimeout(this.#restart)
    const received = (message: FromClient) => this.#receive(message)
    const client = new LocalClientProcess({ data, plane, mountDir, logger, received })
    this.#client = client
    void client.ended.then(() => this.#ended(client))
    for (const [database, sharing] of plane.sharing) {
      if (!this.#isWithheld(database)) void client.send(this.#guard(database, sharing))
    }
  }

  /** Its own local client checkpoints it. */
  #isWithheld(name: string): boolean {
    return this.#options.plane.withheld.reasons.has(name)
  }

  #guard(database: string, sharing: Sharing): ToClient {
    const logDir = logDirectory(this.#options.data.dir, database)
    return { type: 'guard', database, logDir, hasSeveralWriters: sharing === 'several-writers' }
  }

  #ended(client: LocalClientProcess): void {
    if (this.#client !== client) return
    this.#client = undefined
    for (const known of this.#databases.values()) known.isGuarded = false
    this.#options.logger.error('the local client ended: applications checkpoint by themselves until it has restarted')
    this.#restart = setTimeout(() => {
      if (this.#leads && this.#options.plane.sharing.size > 0) this.#startClient()
    }, RESTART_MS)
  }

  #receive(message: FromClient): void {
    if (message.type === 'guarding') {
      const known = this.#known(message.database)
      known.isGuarded = true
      known.heardAtMs = performance.now()
    } else if (message.type === 'released') {
      this.#known(message.database).isGuarded = false
    } else if (message.type === 'checkpointed') {
      this.#checkpointed(message)
    } else if (message.type === 'checkpoint-failed') {
      const { database, code, message: reason } = message
      const known = this.#known(database)
      known.heardAtMs = performance.now()
      if (code === 'WAL_GUARD') known.alarms++
      this.#options.logger.error({ database, code, reason }, 'a checkpoint failed: it is retried')
    }
  }

  #checkpointed(message: Extract<FromClient, { type: 'checkpointed' }>): void {
    const { database, state, pages, frames, left, durationMs } = message
    this.#options.logger.debug({ database, state, pages, frames, left, durationMs }, 'checkpoint')
    const known = this.#known(database)
    known.heardAtMs = performance.now()
    known.count++
    known.totalMs += durationMs
    known.lastMs = durationMs
    known.frames = frames
    known.left = left
    if (state === 'complete') known.isLong = false
  }

  /** Warns about a WAL that grows without bound, and replaces a client that does nothing about it. */
  #checkLengths(): void {
    const { plane, logger } = this.#options
    for (const database of plane.sharing.keys()) {
      const known = this.#known(database)
      const walBytes = this.#walBytes(database)
      if (walBytes < LONG_BYTES || (known.isGuarded && known.left === 0)) continue
      if (!known.isLong) {
        logger.warn(
          { database, walBytes, framesLeft: known.left },
          'the WAL is very long, because a read transaction does not end or writers never pause: end that transaction',
        )
      }
      known.isLong = true
      if (this.#client !== undefined && performance.now() - known.heardAtMs > SILENT_MS) {
        logger.error({ database, walBytes }, 'the local client does not checkpoint: restarting it')
        known.heardAtMs = performance.now()
        this.#client.kill()
      }
    }
  }

  #known(name: string): Known {
    let known = this.#databases.get(name)
    if (known === undefined) {
      known = {
        ...{ isGuarded: false, count: 0, totalMs: 0, lastMs: 0, frames: 0, left: 0, alarms: 0 },
        ...{ heardAtMs: performance.now(), isLong: false },
      }
      this.#databases.set(name, known)
    }
    return known
  }

  #walBytes(name: string): number {
    const { files, root } = this.#options.data
    const wal = `${root}/${name}-wal`
    return files.exists(wal) ? (files.status(wal)?.size ?? 0) : 0
  }
}
