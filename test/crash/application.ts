import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { TYPESCRIPT_ARGUMENTS } from '../harness/typescript.ts'
import { until, within } from '../harness/wait.ts'

/** One writer process (writer.ts) with the file of its acknowledgements, and the check of its database (check.ts). */

const run = promisify(execFile)

export type JournalMode = 'WAL' | 'DELETE' | 'TRUNCATE' | 'PERSIST'

export interface ApplicationOptions {
  /** Also the database's file name, with `.db`. */
  readonly name: string
  /** The database's directory: the mount. */
  readonly directory: string
  /** Outside of the mount: acknowledgements and log. */
  readonly notes: string
  readonly mode: JournalMode
  readonly synchronous: 'NORMAL' | 'FULL'
}

export class Application {
  readonly options: ApplicationOptions
  readonly #child: ChildProcess
  readonly #exited: Promise<string>
  #ended: string | undefined

  constructor(options: ApplicationOptions) {
    this.options = options
    const errors = openSync(this.#note('stderr'), 'a')
    this.#child = spawn(
      process.execPath,
      [
        ...TYPESCRIPT_ARGUMENTS,
        fileURLToPath(new URL('writer.ts', import.meta.url)),
        ...['--db', join(options.directory, this.database), '--acks', this.#note('acks'), '--log', this.#note('log')],
        ...['--mode', options.mode, '--synchronous', options.synchronous],
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

  get database(): string {
    return `${this.options.name}.db`
  }

  /** Waits until one more commit was acknowledged than now: the application works again. */
  async acknowledgesMore(deadlineMs: number): Promise<void> {
    const before = this.#acknowledgedBytes()
    await until(`next commit of ${this.options.name}`, deadlineMs, () => {
      if (this.#ended !== undefined) throw new Error(`${this.options.name} died (${this.#ended}): ${this.notes()}`)
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

  /** What is wrong with the database at `path`, given a snapshot of the acknowledged numbers. */
  async check(path: string, snapshot: string): Promise<string[]> {
    const script = fileURLToPath(new URL('check.ts', import.meta.url))
    const { stdout } = await run(process.execPath, [...TYPESCRIPT_ARGUMENTS, script, path, snapshot], {
      timeout: 60_000,
      killSignal: 'SIGKILL',
    })
    return (JSON.parse(stdout) as string[]).map((finding) => `${this.options.name}: ${finding}`)
  }

  /** Lets it end by itself; one that does not in time hangs, which is an error. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    const ended = await within(`end of ${this.options.name}`, 30_000, this.#exited)
    if (ended !== 'code 0') throw new Error(`${this.options.name} ended with ${ended}: ${this.notes()}`)
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
    return join(this.options.notes, `${this.options.name}.${kind}`)
  }
}
