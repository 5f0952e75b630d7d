import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Proof } from '../capture/proof.ts'
import { damageFound } from '../capture/rejection.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { logDirectory } from '../log/store.ts'
import { doubt } from '../log/trust.ts'
import type { FilesBeneath } from '../util/files-beneath.ts'
import type { Logger } from '../util/log.ts'

const SCRUB_BYTES_PER_SECOND = 100e6

export interface ScrubberOptions {
  /** The backing directory. */
  /** Applications rename directories and make links below the root meanwhile. */
  readonly files: FilesBeneath
  readonly root: string
  readonly bytesPerSecond: number
  /** A page does not match its checksum. Called at most once for each database. */
  readonly damaged: (database: string, pgno: number) => void
  readonly logger: Logger
}

interface Task {
  readonly database: string
  readonly proof: Proof
  readonly fd: number
}

/** Bytes per read: a third of a millisecond of this thread. */
const CHUNK_SIZE = 256 << 10

/**
 * Verifies after a crash the pages that the start did not read (Proof), one database after another and at a bounded
 * rate. The data plane verifies by itself each page that an application reads before the scrubber has.
 */
export class Scrubber {
  readonly #options: ScrubberOptions
  readonly #tasks: Task[] = []
  readonly #stopping = new AbortController()
  #working: Promise<void> = Promise.resolve()

  constructor(options: ScrubberOptions) {
    this.#options = options
  }

  /** Called before the mount is served: the proof is about the file that has this name now. */
  add(database: string, proof: Proof): void {
    this.#tasks.push({
      database,
      proof,
      fd: this.#options.files.open(`${this.#options.root}/${database}`, fs.constants.O_RDONLY),
    })
  }

  start(): void {
    this.#working = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#working
    for (const { fd } of this.#tasks.splice(0)) fs.closeSync(fd)
  }

  async #run(): Promise<void> {
    const { logger } = this.#options
    for (let task = this.#tasks[0]; task !== undefined && !this.#stopping.signal.aborted; task = this.#tasks[0]) {
      const { database, proof, fd } = task
      try {
        await this.#scrub(task)
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        // The data plane still verifies each page that is read.
        logger.error({ database, err: error }, 'verifying the database after a crash failed')
      }
      if (this.#stopping.signal.aborted) return
      this.#tasks.shift()
      fs.closeSync(fd)
      if (proof.ended && proof.damaged === undefined) logger.debug({ database }, 'all pages match the log')
    }
  }

  async #scrub({ database, proof, fd }: Task): Promise<void> {
    const { signal } = this.#stopping
    const { pageSize } = proof
    const chunk = Buffer.allocUnsafe(CHUNK_SIZE)
    for (let first = proof.next(1); first !== undefined && !proof.ended; first = proof.next(first)) {
      const startedMs = performance.now()
      const pages = Math.min(CHUNK_SIZE / pageSize, proof.sizePages - first + 1)
      const n = await read(fd, chunk, pages * pageSize, (first - 1) * pageSize)
      signal.throwIfAborted()
      for (let i = 0; (i + 1) * pageSize <= n; i++) {
        if (proof.holds(first + i, chunk.subarray(i * pageSize, (i + 1) * pageSize))) continue
        if (proof.ended) return
        proof.setDamaged(first + i)
        return this.#options.damaged(database, first + i)
      }
      // The application truncated the file meanwhile.
      if (n < pages * pageSize) proof.cut(first + Math.floor(n / pageSize) - 1)
      const restMs = (n / this.#options.bytesPerSecond) * 1000 - (performance.now() - startedMs)
      await delay(Math.max(0, restMs), undefined, { signal })
    }
    proof.end()
  }
}

function read(fd: number, into: Buffer, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, 0, length, position, (error, n) => (error === null ? resolve(n) : reject(error)))
  })
}

/** A scrubber with every page that the start left unread. A database in which it finds damage is no longer served. */
export function prepareScrubber({ dir, root, files }: DataDirectory, plane: DataPlane, logger: Logger): Scrubber {
  const scrubber = new Scrubber({
    files,
    root,
    bytesPerSecond: SCRUB_BYTES_PER_SECOND,
    logger,
    damaged: (database, pgno) => {
      const reason = damageFound(pgno, logDirectory(dir, database))
      logger.error({ database }, `database not served: ${reason}`)
      plane.reject(database, reason)
      doubt(files, logDirectory(dir, database))
    },
  })
  for (const [database, proof] of plane.unproven) scrubber.add(database, proof)
  return scrubber
}
