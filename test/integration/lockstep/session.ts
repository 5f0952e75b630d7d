import { type ChildProcess, fork } from 'node:child_process'
import path from 'node:path'
import { isMappedBy } from '../../harness/processes.ts'

/** A database's paths on the mount and in the plain directory. */
export type Pair = readonly [here: string, there: string]

export type Request =
  | { readonly op: 'open'; readonly paths: Pair }
  | { readonly op: 'close' | 'content' | 'pages' }
  /** `alone`: no other connection has the database open. */
  | { readonly op: 'run'; readonly statements: readonly Pair[]; readonly alone: boolean }
  | { readonly op: 'backup'; readonly paths: Pair }

export interface Outcome {
  readonly here: string
  readonly there: string
}

export interface Reply {
  readonly outcome?: Outcome
  readonly inTransaction?: boolean
  readonly failed?: string
}

/** An application in a process of its own (session-process.ts), controlled from here. */
export class Session {
  isOpen = false
  inTransaction = false
  #child: ChildProcess

  constructor() {
    this.#child = start()
  }

  async open(paths: Pair): Promise<void> {
    await this.ask({ op: 'open', paths })
    this.isOpen = true
  }

  async close(): Promise<void> {
    if (this.isOpen) await this.ask({ op: 'close' })
    this.isOpen = this.inTransaction = false
  }

  async ask(request: Request): Promise<Outcome> {
    const reply = await new Promise<Reply>((resolve, reject) => {
      const ended = () => reject(new Error('a process of the test has ended'))
      this.#child.once('exit', ended)
      this.#child.once('message', (message) => {
        this.#child.off('exit', ended)
        resolve(message as Reply)
      })
      this.#child.send(request)
    })
    if (reply.failed !== undefined) throw new Error(reply.failed)
    if (reply.inTransaction !== undefined) this.inTransaction = reply.inTransaction
    return reply.outcome ?? { here: '', there: '' }
  }

  /**
   * If database pages are smaller than the machine's, SQLite fails to unmap parts of a file that was made smaller
   * (unixRemapfile unmaps at addresses between two pages). The file then stays in use for as long as the process lives.
   */
  async endMapping(file: string): Promise<void> {
    if (!isMappedBy(this.#child.pid, file)) return
    this.#child.disconnect()
    await new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child = start()
  }

  end(): void {
    this.#child.disconnect()
  }
}

function start(): ChildProcess {
  // Built beside the client, which contains this module (harness/programs.ts).
  return fork(path.join(import.meta.dirname, 'lockstep-session.js'))
}
