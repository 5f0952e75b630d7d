import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Proof } from '../capture/proof.ts'
import { errorMessage } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'

export interface ScrubberOptions {
  /** The backing directory. */
  readonly root: string
  readonly bytesPerSecond: number
  /** A page is not what it must be; called once for each such database. */
  readonly damaged: (database: string, pgno: number) => void
  readonly logger: Logger
}

interface Task {
  readonly database: string
  readonly proof: Proof
  readonly fd: number
}

/** What is read at once: a third of a millisecond of this thread. */
const CHUNK_SIZE = 256 << 10

/**
 * Reads, after a crash, what the start did not (Proof): one database after another, at a bounded rate, beside the data plane, which proves by
 * itself whatever is asked for before its turn comes.
 */
export class Scrubber {
  readonly #options: ScrubberOptions
  readonly #tasks: Task[] = []
  readonly #stopping = new AbortController()
  #working: Promise<void> = Promise.resolve()

  constructor(options: ScrubberOptions) {
    this.#options = options
  }

  /** Before the mount is served: the file that has this name now is the one that is meant. */
  add(database: string, proof: Proof): void {
    this.#tasks.push({ database, proof, fd: fs.openSync(`${this.#options.root}/${database}`, 'r') })
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
        // Its pages are proven when they are read, all the same.
        logger.error({ database, error: errorMessage(error) }, 'checking the database after a crash failed')
      }
      if (this.#stopping.signal.aborted) return
      this.#tasks.shift()
      fs.closeSync(fd)
      if (proof.ended && proof.damaged === undefined) logger.debug({ database }, 'all pages are as the log says')
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
      // It was cut meanwhile, by whoever it belongs to.
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
