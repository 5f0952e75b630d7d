import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { programFile } from '../harness/programs.ts'
import { until, within } from '../harness/wait.ts'

/** One writer process (writer.ts) with the file of its acknowledgements. */

export type JournalMode = 'WAL' | 'DELETE' | 'TRUNCATE' | 'PERSIST'

/** How a database is used. */
export interface Usage {
  readonly mode: JournalMode
  readonly synchronous: 'NORMAL' | 'FULL'
  readonly pageSize: number
  /** `locking_mode=EXCLUSIVE`: in WAL mode without a `-shm`. One writer at a time, then. */
  readonly exclusive?: boolean
  /** Processes that write to it at once; 1 by default. */
  readonly writers?: number
}

export interface ApplicationOptions {
  readonly usage: Usage
  /** Of 0 up to the usage's writers. */
  readonly index: number
  /** The database's directory: the mount. */
  readonly directory: string
  /** Outside of the mount: acknowledgements and log. */
  readonly notes: string
}

/** One for each writer of each usage, started. */
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

  /** Its file's name. */
  get database(): string {
    const { mode, synchronous, pageSize, exclusive } = this.options.usage
    return `${mode}-${synchronous}-${pageSize}${exclusive === true ? '-exclusive' : ''}.db`.toLowerCase()
  }

  get name(): string {
    return `${this.database}#${this.options.index}`
  }

  /** Waits until one more commit was acknowledged than now: the application works again. */
  async acknowledgesMore(deadlineMs: number): Promise<void> {
    const before = this.#acknowledgedBytes()
    await until(`next commit of ${this.name}`, deadlineMs, () => {
      if (this.#ended !== undefined) throw new Error(`${this.name} died (${this.#ended}): ${this.notes()}`)
      return this.#acknowledgedBytes() > before
    })
  }

  /** The acknowledged numbers so far, in a file that no longer grows. */
  snapshotAcknowledged(): string {
    const snapshot = this.#note('acks-checked')
    const text = existsSync(this.#note('acks')) ? readFileSync(this.#note('acks'), 'utf8') : ''
    // Its last line may be half written.
    writeFileSync(snapshot, text.slice(0, text.lastIndexOf('\n') + 1))
    return snapshot
  }

  /** Lets it end by itself; one that does not in time hangs, which is an error. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    const ended = await within(`end of ${this.name}`, 60_000, this.#exited)
    if (ended !== 'code 0') throw new Error(`${this.name} ended with ${ended}: ${this.notes()}`)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** The end of what it logged. */
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
