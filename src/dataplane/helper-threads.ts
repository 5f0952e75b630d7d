import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { LogFields, LogLevel } from '../capture/events.ts'
import { Delays } from './delays.ts'
import { KeepAwake } from './keep-awake.ts'
import type { DataPlaneData } from './messages.ts'
import type { SyncFailed, SyncThreadData } from './sync-thread.ts'
import { Syncs } from './syncs.ts'

export interface HelperThreadsOptions {
  /** `low` keeps a core awake while requests arrive (keep-awake.ts). */
  readonly latency: 'normal' | 'low'
  /** Commits may be delayed so that the replicas keep up. */
  readonly delaysCommits?: boolean
  readonly log: (level: LogLevel, message: string, fields: LogFields) => void
  /** An fsync failed, which its log does not know yet. */
  readonly syncFailed: () => void
}

/** The threads that help the data plane's: one waits for the disk and sends delayed replies, one keeps a core awake. */
export class HelperThreads {
  /** What they share with the data plane's. */
  readonly memory: Pick<DataPlaneData, 'syncs' | 'delays' | 'keepAwake'>
  readonly #delays: Delays | undefined
  readonly #options: HelperThreadsOptions
  readonly #threads: Worker[] = []

  constructor(options: HelperThreadsOptions) {
    this.#options = options
    // A single core is never idle while a program waits.
    const keepsAwake = options.latency === 'low' && availableParallelism() > 1
    if (options.delaysCommits === true) this.#delays = new Delays(Delays.buffer())
    this.memory = {
      syncs: Syncs.buffer(),
      ...(this.#delays && { delays: this.#delays.buffer }),
      ...(keepsAwake && { keepAwake: KeepAwake.buffer() }),
    }
  }

  /** Commits to the database in that slot come at most one in so many milliseconds. 0: as they come. */
  paceCommits(slot: number, intervalMs: number): void {
    this.#delays?.setInterval(slot, intervalMs)
  }

  /** Resolves when no reply is delayed any more. */
  async allSent(): Promise<void> {
    await this.#delays?.sent()
  }

  /** `shared`: the data plane's memory; `deviceFd`: where answers go. */
  start(shared: SharedArrayBuffer, deviceFd: number): void {
    this.#startSyncThread({ ...this.memory, shared, deviceFd })
    if (this.memory.keepAwake !== undefined) this.#startKeepingAwake(this.memory.keepAwake)
  }

  async terminate(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.terminate()))
  }

  /** Without this thread the data plane syncs by itself. */
  #startSyncThread(data: SyncThreadData): void {
    const { log, syncFailed } = this.#options
    const thread = this.#start('./sync-thread.js', data)
    thread.on('message', ({ error }: SyncFailed) => {
      log('error', `fsync of a log failed: ${error}`, {})
      syncFailed()
    })
    // Its requests would never be answered. Ending the process is better: the next start recovers.
    thread.on('error', (error) => {
      throw error
    })
  }

  /** Optional: without this thread, requests are only served later. */
  #startKeepingAwake(keepAwake: SharedArrayBuffer): void {
    const { log } = this.#options
    this.#start('./keep-awake.js', keepAwake).on('error', ({ message: reason }) =>
      log('warn', 'fuse.latency falls back to "normal": the thread that keeps a core awake failed', { reason }),
    )
  }

  #start(entry: string, workerData: unknown): Worker {
    const thread = new Worker(fileURLToPath(new URL(entry, import.meta.url)), { workerData })
    this.#threads.push(thread)
    return thread
  }
}
