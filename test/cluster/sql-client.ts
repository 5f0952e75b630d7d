import { type ChildProcess, spawn } from 'node:child_process'
import { programFile } from '../harness/programs.ts'
import { within } from '../harness/wait.ts'
import type { SqlAnswer, SqlOrder } from './sql-process.ts'

const ANSWER_MS = 120_000

/** An error of SQLite's. */
export class SqlError extends Error {
  readonly code: string

  constructor({ code, message }: { readonly code: string; readonly message: string }) {
    super(message)
    this.code = code
  }
}

/** An application with one connection, in a process of its own, so that a hung mount hangs nothing else. */
export class SqlClient implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #answerMs: number
  readonly #answers = new Map<number, (answer: SqlAnswer) => void>()
  #next = 1

  /**
   * Opens the database with the first statement. `timeoutMs` is the busy_timeout. A statement that takes longer than
   * `answerMs` counts as hung.
   */
  constructor(path: string, { timeoutMs = 0, answerMs = ANSWER_MS }: { timeoutMs?: number; answerMs?: number } = {}) {
    this.#answerMs = answerMs
    this.#child = spawn(process.execPath, [programFile('sql-process'), path, String(timeoutMs)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (answer: SqlAnswer) => {
      this.#answers.get(answer.id)?.(answer)
      this.#answers.delete(answer.id)
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Throws SqlError. */
  async exec(sql: string): Promise<void> {
    await this.#ask(sql, false)
  }

  /** Throws SqlError. */
  async all(sql: string): Promise<unknown[][]> {
    return (await this.#ask(sql, true)).rows ?? []
  }

  /** The first column of the first row. Throws SqlError. */
  async value(sql: string): Promise<unknown> {
    return (await this.all(sql))[0]?.[0]
  }

  /** The error of a statement; undefined if it succeeds. */
  async errorOf(sql: string): Promise<SqlError | undefined> {
    try {
      await this.exec(sql)
      return undefined
    } catch (error) {
      if (error instanceof SqlError) return error
      throw error
    }
  }

  /** Closes the connection. The process stays, and opens the database again for the next statement. */
  close(): Promise<void> {
    return this.exec('close')
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill()
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      await within('end of a SQL client', ANSWER_MS, new Promise((resolve) => this.#child.once('exit', resolve)))
    }
  }

  async #ask(sql: string, all: boolean): Promise<SqlAnswer> {
    const id = this.#next++
    const answered = new Promise<SqlAnswer>((resolve) => this.#answers.set(id, resolve))
    this.#child.send({ id, sql, all } satisfies SqlOrder)
    const answer = await within(`answer to ${sql.slice(0, 80)}`, this.#answerMs, answered)
    if (answer.error !== undefined) throw new SqlError(answer.error)
    return answer
  }
}
