import fs from 'node:fs'
import type { CheckpointStatus } from '../api/status.ts'
import type { Sharing } from '../capture/events.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { logDirectory } from '../log/store.ts'
import type { FromClient, ToClient } from '../replica/client/messages.ts'
import { LocalClientProcess } from '../replica/local-client.ts'
import type { Logger } from '../util/log.ts'

export interface CheckpointsOptions {
  readonly plane: DataPlane
  readonly mountDir: string
  /** The backing directory. */
  readonly root: string
  readonly dataDir: string
  readonly logger: Logger
}

/** What is known of one database's WAL. */
interface Known {
  isGuarded: boolean
  count: number
  totalMs: number
  lastMs: number
  /** Frames of the WAL, and how many of them are not in the file, as the client saw them last. */
  frames: number
  left: number
  heardAtMs: number
  alarms: number
  /** Its length was complained of. */
  isLong: boolean
}

const RESTART_MS = 200
const WATCH_MS = 2_000
/** A WAL so long that something must be wrong: a reader that does not end, or a client that does not work. */
const LONG_BYTES = 256 << 20
/** A client that says nothing of a long WAL for this long is replaced. */
const SILENT_MS = 10_000

/**
 * While this node leads, its local client is the only one that checkpoints databases which several connections have open (D15). It runs from the
 * first of them on, and another one is started when it ends: while there is none, applications checkpoint by themselves.
 */
export class Checkpoints {
  readonly #options: CheckpointsOptions
  readonly #databases = new Map<string, Known>()
  #leads = false
  #client: LocalClientProcess | undefined
  #watch: NodeJS.Timeout | undefined
  #restart: NodeJS.Timeout | undefined

  constructor(options: CheckpointsOptions) {
    this.#options = options
    options.plane.observe({
      sharing: (name, sharing) => this.#changed(name, sharing),
      guarded: (name) => void this.#known(name).alarms++,
    })
  }

  /** From here on this node leads. */
  start(): void {
    this.#leads = true
    clearInterval(this.#watch)
    this.#watch = setInterval(() => this.#look(), WATCH_MS)
    for (const [name, sharing] of this.#options.plane.sharing) this.#changed(name, sharing)
  }

  /** Resolves when the client has let go of everything. */
  async stop(): Promise<void> {
    this.#leads = false
    clearInterval(this.#watch)
    clearTimeout(this.#restart)
    const client = this.#client
    this.#client = undefined
    await client?.close()
    for (const known of this.#databases.values()) known.isGuarded = false
  }

  status(name: string): CheckpointStatus {
    const walBytes = this.#walBytes(name)
    const known = this.#databases.get(name)
    if (known === undefined) return { walBytes, isGuarded: false, count: 0, totalMs: 0, lastMs: 0, alarms: 0 }
    const { isGuarded, count, totalMs, lastMs, alarms, frames, left } = known
    return { walBytes, isGuarded, count, totalMs, lastMs, alarms, ...(isGuarded && { frames, left }) }
  }

  #changed(name: string, sharing: Sharing): void {
    if (!this.#leads) return
    const isShared = sharing !== 'sole'
    const known = this.#known(name)
    if (isShared) known.heardAtMs = performance.now()
    if (isShared && this.#client === undefined) this.#startClient()
    else void this.#client?.send(isShared ? this.#guard(name, sharing) : { type: 'leave', database: name })
  }

  #startClient(): void {
    const { plane, mountDir, logger } = this.#options
    clearTimeout(this.#restart)
    const client = new LocalClientProcess({
      mountDir,
      announcementsPath: plane.announcementsPath(mountDir),
      shared: plane.shared,
      logger,
      received: (message) => this.#receive(message),
    })
    this.#client = client
    void client.ended.then(() => this.#ended(client))
    for (const [database, sharing] of plane.sharing) void client.send(this.#guard(database, sharing))
  }

  #guard(database: string, sharing: Sharing): ToClient {
    const logDir = logDirectory(this.#options.dataDir, database)
    return { type: 'guard', database, logDir, hasSeveralWriters: sharing === 'several-writers' }
  }

  #ended(client: LocalClientProcess): void {
    if (this.#client !== client) return
    this.#client = undefined
    for (const known of this.#databases.values()) known.isGuarded = false
    this.#options.logger.error(
      'the local client ended: until another one is there, applications checkpoint by themselves',
    )
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
      const { database, code, message: problem } = message
      const known = this.#known(database)
      known.heardAtMs = performance.now()
      if (code === 'WAL_GUARD') known.alarms++
      this.#options.logger.error({ database, code }, problem)
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

  /** A WAL without bound is said, and a client that does nothing about it makes way. */
  #look(): void {
    const { plane, logger } = this.#options
    for (const database of plane.sharing.keys()) {
      const known = this.#known(database)
      const walBytes = this.#walBytes(database)
      if (walBytes < LONG_BYTES || (known.isGuarded && known.left === 0)) continue
      if (!known.isLong) {
        const message = 'the WAL is very long: a connection keeps a read transaction open, or never stops writing'
        logger.warn({ database, walBytes, framesLeft: known.left }, message)
      }
      known.isLong = true
      if (this.#client !== undefined && performance.now() - known.heardAtMs > SILENT_MS) {
        logger.error({ database, walBytes }, 'the local client does not checkpoint: starting another')
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
    return fs.statSync(`${this.#options.root}/${name}-wal`, { throwIfNoEntry: false })?.size ?? 0
  }
}
