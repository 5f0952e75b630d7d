import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { within } from '../harness/wait.ts'

const PROCESS = fileURLToPath(new URL('old-sqlite.py', import.meta.url))
const ANSWER_MS = 120_000

export type CheckpointKind = 'PASSIVE' | 'FULL' | 'RESTART' | 'TRUNCATE'

/** The results of explicit checkpoints by kind; 1 is busy. */
export type Said = Partial<Record<CheckpointKind, number[]>>

/** A connection of the machine's SQLite through Python. That version still has the WAL-reset bug. */
export class OldSqlite implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: Interface
  readonly #ended: Promise<void>
  /** Rejects the order that is waiting for its answer. */
  #fail: ((error: Error) => void) | undefined

  constructor(path: string) {
    this.#child = spawn('python3', [PROCESS, path])
    this.#ended = once(this.#child, 'close').then(() => {
      this.#fail?.(new Error('the connection ended before it answered'))
    })
    this.#child.stderr.pipe(process.stderr)
    this.#lines = createInterface({ input: this.#child.stdout })
  }

  /** Closes the connection and opens one to another database. */
  async open(path: string): Promise<void> {
    await this.#ask({ open: path })
  }

  async sql(sql: string): Promise<unknown[][]> {
    return (await this.#ask({ sql })) as unknown[][]
  }

  async value(sql: string): Promise<unknown> {
    return (await this.sql(sql))[0]?.[0]
  }

  /** Runs `count` transactions of two statements each, as fast as it can, with a checkpoint after every fortieth. */
  async write(writer: string, count: number, checkpoints: readonly CheckpointKind[] = []): Promise<Said> {
    return (await this.#ask({ writer, count, checkpoints })) as Said
  }

  /** Closes the connection through SQLite. */
  async close(): Promise<void> {
    this.#child.stdin.end()
    await within('end of a connection', ANSWER_MS, this.#ended)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await within('end of a killed connection', ANSWER_MS, this.#ended)
  }

  async #ask(order: object): Promise<unknown> {
    // No listener stays behind: a test may give hundreds of thousands of orders.
    const answered = new Promise<string>((resolve, reject) => {
      this.#lines.once('line', resolve)
      this.#fail = reject
    })
    this.#child.stdin.write(`${JSON.stringify(order)}\n`)
    const line = await within(`answer to ${JSON.stringify(order).slice(0, 80)}`, ANSWER_MS, answered)
    const answer = JSON.parse(line) as { result?: unknown; error?: string }
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer.result
  }
}
