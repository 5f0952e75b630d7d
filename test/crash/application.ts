import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { programFile } from '../harness/programs.ts'
import { until, within } from '../harness/wait.ts'

/** A writer process (writer.ts), and the file with its acknowledgements. */

export type JournalMode = 'WAL' | 'DELETE' | 'TRUNCATE' | 'PERSIST'

/** The use of a database. */
export interface Usage {
  readonly mode: JournalMode
  readonly synchronous: 'NORMAL' | 'FULL'
  readonly pageSize: number
  /** `locking_mode=EXCLUSIVE`, which in WAL mode needs no `-shm`. Allows one writer only. */
  readonly exclusive?: boolean
  /** The number of processes that write at once; 1 by default. */
  readonly writers?: number
}

export interface ApplicationOptions {
  readonly usage: Usage
  /** The number of this writer among the usage's writers, from 0 on. */
  readonly index: number
  /** The directory of the database: the mount. */
  readonly directory: string
  /** A directory outside the mount for acknowledgements and log. */
  readonly notes: string
}

/** Starts an application for each writer of each usage. */
export function startApplications(usages: readonly Usage[], directory: string, notes: string): Application[] {
  return usages.flatMap((usage) =>
    Array.from({ length: usage.writers ?? 1 }, (_, index) => new Application({ usage, index, directory, notes })),
  )
}

export class Application {
  readonly options: ApplicationOptions
  readonly #child: ChildProcess
  readonly #exited: Promise<string>
  #ended: string | undefined

  constructor(options: ApplicationOptions) {
    this.options = options
    const { usage } = options
    const errors = openSync(this.#note('stderr'), 'a')
    this.#child = spawn(
      process.execPath,
      [
        programFile('crash-writer'),
        ...['--db', join(options.directory, this.database), '--acks', this.#note('acks'), '--log', this.#note('log')],
        ...['--mode', usage.mode, '--synchronous', usage.synchronous, '--page-size', String(usage.pageSize)],
        ...['--locking', usage.exclusive === true ? 'EXCLUSIVE' : 'NORMAL'],
        ...['--first', String(options.index + 1), '--step', String(usage.writers ?? 1)],
      ],
      { stdio: ['ignore', 'ignore', errors] },
    )
    closeSync(errors)
    this.#exited = new Promise((resolve) =>
      this.#child.once('exit', (code, signal) => {
        this.#ended = signal ?? `code ${code}`
        resolve(this.#ended)
      }),
    )
  }

  /** The database's file name. */
  get database(): string {
    const { mode, synchronous, pageSize, exclusive } = this.options.usage
    return `${mode}-${synchronous}-${pageSize}${exclusive === true ? '-exclusive' : ''}.db`.toLowerCase()
  }

  get name(): string {
    return `${this.database}#${this.options.index}`
  }

  /** Waits until another commit is acknowledged, so that the application works again. */
  async acknowledgesMore(deadlineMs: number): Promise<void> {
    const before = this.#acknowledgedBytes()
    await until(`next commit of ${this.name}`, deadlineMs, () => {
      if (this.#ended !== undefined) throw new Error(`${this.name} died (${this.#ended}): ${this.notes()}`)
      return this.#acknowledgedBytes() > before
    })
  }

  /** Copies the acknowledged numbers so far to a file, and returns its path. */
  snapshotAcknowledged(): string {
    const snapshot = this.#note('acks-checked')
    const text = existsSync(this.#note('acks')) ? readFileSync(this.#note('acks'), 'utf8') : ''
    // The last line may be incomplete.
    writeFileSync(snapshot, text.slice(0, text.lastIndexOf('\n') + 1))
    return snapshot
  }

  /** Asks it to end by itself. Throws if it hangs. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    const ended = await within(`end of ${this.name}`, 60_000, this.#exited)
    if (ended !== 'code 0') throw new Error(`${this.name} ended with ${ended}: ${this.notes()}`)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** The end of its log. */
  notes(): string {
    const files = [this.#note('log'), this.#note('stderr')].filter(existsSync)
    return files.flatMap((file) => readFileSync(file, 'utf8').trimEnd().split('\n').slice(-8)).join('\n')
  }

  acknowledged(): number {
    return existsSync(this.#note('acks')) ? readFileSync(this.#note('acks'), 'utf8').split('\n').length - 1 : 0
  }

  #acknowledgedBytes(): number {
    return existsSync(this.#note('acks')) ? statSync(this.#note('acks')).size : 0
  }

  #note(kind: string): string {
    return join(this.options.notes, `${this.name}.${kind}`)
  }
}
