import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { findTool } from '../../infra/test-tools.ts'
import { within } from '../harness/wait.ts'

const PROGRAM = fileURLToPath(new URL('./session.py', import.meta.url))
const ANSWER_MS = 60_000

/** SQLCipher, SQLCipher with a readable header, or a cipher of SQLite3MC. */
export type Engine = 'sqlcipher' | 'sqlcipher-readable-header' | 'chacha20' | 'aes256cbc'

type Answer = { readonly rows: readonly (readonly unknown[])[] } | { readonly error: string }

/** A connection to an encrypted database, in a process of its own, so that a hung mount hangs nothing else. */
export class Session {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>

  constructor(engine: Engine, path: string, key = 'secret') {
    const child = spawn(findTool('python3-encrypted') ?? 'python3', [PROGRAM, engine, path, key], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child = child
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  async #ask(sql: string): Promise<Answer> {
    this.#child.stdin?.write(`${JSON.stringify(sql)}\n`)
    const line = await within(`answer to ${sql}`, ANSWER_MS, this.#answers.next())
    if (line.done === true) throw new Error(`the session ended instead of answering ${sql}`)
    return JSON.parse(line.value) as Answer
  }

  /** The rows of the last statement. Throws if one fails. */
  async run(...statements: readonly string[]): Promise<readonly (readonly unknown[])[]> {
    let rows: readonly (readonly unknown[])[] = []
    for (const sql of statements) {
      const answer = await this.#ask(sql)
      if ('error' in answer) throw new Error(`${sql}: ${answer.error}`)
      rows = answer.rows
    }
    return rows
  }

  /** The first column of the first row. */
  async value(sql: string): Promise<unknown> {
    return (await this.run(sql))[0]?.[0]
  }

  /** undefined if the statement succeeds. */
  async errorOf(sql: string): Promise<string | undefined> {
    const answer = await this.#ask(sql)
    return 'error' in answer ? answer.error : undefined
  }

  async close(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.stdin?.end()
    await within('end of a session', ANSWER_MS, ended)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}
