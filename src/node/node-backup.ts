/** The node's backup: one store, every database that has a log, and what the node tells of it. */

import fs from 'node:fs'
import type { DataDirectory } from './data-directory.ts'
import type { DataPlane, KnownDatabase } from './dataplane.ts'
import { hydrateMissing, reconcileAll } from './hydration.ts'
import type { BackupStatus } from './status.ts'
import { configuredSchedule } from '../backup/configured-schedule.ts'
import { BackupService } from '../backup/service.ts'
import type { BackupConfig } from '../config/config.ts'
import { LogReader } from '../log/reader.ts'
import { logDirectory } from '../log/store.ts'
import { formatTXID } from '../ltx/types.ts'
import type { TXID } from '../ltx/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { openObjectStore } from '../objectstore/open.ts'
import type { Logger } from '../util/log.ts'

/** How long the last upload may take when the node stops. */
const DRAIN_MS = 30_000

export class NodeBackup {
  private readonly data: DataDirectory
  private readonly logger: Logger
  private readonly store: ObjectStore
  private readonly service: BackupService
  private readonly uploadedUpTo = new Map<string, TXID>()
  private readonly added = new Set<string>()

  constructor(config: BackupConfig, data: DataDirectory, logger: Logger) {
    this.data = data
    this.logger = logger
    this.store = openObjectStore(config.url)
    const temporaryParent = `${data.dir}/temporary`
    fs.rmSync(temporaryParent, { recursive: true, force: true })
    fs.mkdirSync(temporaryParent, { recursive: true })
    this.service = new BackupService({
      store: this.store,
      logger,
      temporaryParent,
      schedule: configuredSchedule(config),
      upkeep: config.compaction === 'daemon',
      onUploaded: (name, txid) => this.uploadedUpTo.set(name, txid),
    })
  }

  /** Before recovery: brings back what only the backup has. */
  hydrate(signal: AbortSignal | undefined): Promise<void> {
    return hydrateMissing({ store: this.store, data: this.data, logger: this.logger, signal })
  }

  /** After recovery, before the mount: makes local and backed-up histories one, and starts shipping. */
  async begin(plane: DataPlane, signal: AbortSignal | undefined): Promise<void> {
    await reconcileAll({ store: this.store, data: this.data, logger: this.logger, signal }, plane)
    for (const database of plane.databases.values()) this.add(database)
    this.service.start()
  }

  add(database: KnownDatabase): void {
    const { name, refusal, state } = database
    if (refusal !== undefined || this.added.has(name)) return
    this.added.add(name)
    const log = new LogReader(name, logDirectory(this.data.dir, name), () => state().position)
    this.service.add({ name, log, filePath: `${this.data.root}/${name}` })
  }

  /** The last transaction that the backup holds. */
  uploaded(name: string): TXID {
    return this.uploadedUpTo.get(name) ?? (0n as TXID)
  }

  status(): Map<string, BackupStatus> {
    return new Map(
      this.service
        .status()
        .map(({ name, txid, lagMs, lastError }) => [
          name,
          { txid: formatTXID(txid ?? (0n as TXID)), lagMs, ...(lastError !== undefined && { lastError }) },
        ]),
    )
  }

  /** Ships what is left. */
  async stop(): Promise<void> {
    await this.service.stop({ drainMs: DRAIN_MS })
    await this.store.close()
  }
}
