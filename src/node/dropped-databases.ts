import pLimit from 'p-limit'
import type { DataPlane, KnownDatabase } from '../dataplane/dataplane.ts'
import { isEmpty, noteDropped } from '../log/dropped.ts'
import { logDirectory } from '../log/store.ts'
import type { Position } from '../ltx/format/types.ts'
import type { StreamServer } from '../stream/primary/server.ts'
import type { Files } from '../util/files.ts'
import type { Logger } from '../util/log.ts'
import type { NodeBackup } from './node-backup.ts'

/** Each is an fsync of a file and of a directory. */
const MAX_AT_ONCE = 8

export interface DroppedDatabasesOptions {
  readonly plane: DataPlane
  readonly dataDir: string
  readonly files: Files
  readonly backup: Pick<NodeBackup, 'uploaded'> | undefined
  /** undefined in a node without a cluster. */
  readonly role: () => { readonly server: Pick<StreamServer, 'acknowledged'> } | undefined
  readonly logger: Logger
}

/**
 * Frees what dropped databases occupy. Once the backup has the drop, and every connected replica, only its position
 * remains: in base.json, from where a database that is made under the name continues (log/dropped.ts).
 */
export class DroppedDatabases {
  readonly #options: DroppedDatabasesOptions
  readonly #limit = pLimit(MAX_AT_ONCE)
  readonly #noting = new Set<string>()
  readonly #failed = new Set<string>()

  constructor(options: DroppedDatabasesOptions) {
    this.#options = options
  }

  /** Called for each database every now and then. */
  check(database: KnownDatabase): void {
    const { name } = database
    const { backup, role } = this.#options
    const { position } = database.state()
    if (!isDropped(database, position) || this.#noting.has(name)) return
    const uploaded = backup?.uploaded(name)
    if (uploaded !== undefined && uploaded < position.txid) return
    if (role()?.server.acknowledged(name, position) === false) return
    this.#noting.add(name)
    void this.#limit(() => this.#note(database, position)).finally(() => this.#noting.delete(name))
  }

  async #note(database: KnownDatabase, drop: Position): Promise<void> {
    const { plane, dataDir, files, logger } = this.#options
    const { name } = database
    const isStill = () => plane.databases.get(name) === database && isDropped(database, drop)
    if (!isStill()) return
    try {
      await noteDropped(files, logDirectory(dataDir, name), drop, isStill)
      if (isStill()) plane.allowRelease(name, drop)
      this.#failed.delete(name)
    } catch (err) {
      if (!this.#failed.has(name))
        logger.warn({ database: name, err }, 'a dropped database keeps its log: it is retried')
      this.#failed.add(name)
    }
  }
}

/** Whether the database is dropped, and nothing came after `at`. */
function isDropped({ rejection, state }: KnownDatabase, at: Position): boolean {
  const { tracked, position } = state()
  return rejection === undefined && !tracked && position.txid > 0n && position.txid === at.txid && isEmpty(position)
}
