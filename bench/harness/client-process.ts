import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { TYPESCRIPT_ARGUMENTS } from '../../test/harness/typescript.ts'
import { within } from '../../test/harness/wait.ts'
import type { Answer, Command, DatabaseSetup, Sample, Workload } from './workload.ts'

/** A command that failed in SQLite, such as a journal mode that the node rejects. */
export class ClientError extends Error {
  override readonly name = 'ClientError'
}

/** The deadline for opening, filling and closing a database, and for the end of a measurement. */
const PATIENCE_MS = 30_000

/** Controls a client process (client.ts): one command at a time, each with a deadline. */
export class Client {
  readonly #child: ChildProcess

  constructor() {
    this.#child = fork(fileURLToPath(new URL('client.ts', import.meta.url)), [], {
      execArgv: [...TYPESCRIPT_ARGUMENTS],
    })
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the client process did not start')
    return this.#child.pid
  }

  async create(database: DatabaseSetup): Promise<void> {
    await this.#ask({ do: 'create', database }, PATIENCE_MS)
  }

  async open(database: DatabaseSetup): Promise<void> {
    await this.#ask({ do: 'open', database }, PATIENCE_MS)
  }

  async measure(workload: Workload, seconds: number): Promise<Sample> {
    const answer = await this.#ask({ do: 'measure', workload, seconds }, seconds * 1000 + PATIENCE_MS)
    if (answer.sample === undefined) throw new Error('a measurement came without figures')
    return answer.sample
  }

  /** Resolves once it has started. */
  async ready(): Promise<void> {
    await this.#ask({ do: 'nothing' }, PATIENCE_MS)
  }

  /** Throws if SQLite finds the database damaged. */
  async check(): Promise<void> {
    await this.#ask({ do: 'check' }, PATIENCE_MS)
  }

  async close(): Promise<void> {
    await this.#ask({ do: 'close' }, PATIENCE_MS)
    this.kill()
  }

  /** Kills the process without a command, because it may be waiting for a mount that does not answer. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async #ask(command: Command, deadlineMs: number): Promise<Answer & { ok: true }> {
    const ended = new AbortController()
    try {
      const answered = once(this.#child, 'message', { signal: ended.signal }) as Promise<[Answer]>
      const exited = once(this.#child, 'exit', { signal: ended.signal }).then(([code, signal]) => {
        throw new ClientError(`the client ended (${String(signal ?? code)}) during "${command.do}"`)
      })
      this.#child.send(command)
      const [answer] = await within(`client's "${command.do}"`, deadlineMs, Promise.race([answered, exited]))
      if (answer.ok) return answer
      throw answer.sqlite === undefined
        ? new Error(answer.message)
        : new ClientError(`${answer.sqlite}: ${answer.message}`)
    } finally {
      ended.abort()
    }
  }
}
