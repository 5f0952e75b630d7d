import { type Answer, Application } from './application.ts'
import type { Program, Step } from './program.ts'

/** The number of a process without connections, for operations on files. */
export const TOOL = 9

/** The processes of a program in one of the two directories. They start when they are needed. */
export class Side {
  readonly #program: string
  readonly #directory: string
  readonly #plan: Program
  readonly #running = new Map<number, Application>()
  /** Each process has other random numbers than those before it, and the same on both sides. */
  #started = 0
  /** Each connection's last answer. */
  readonly #answers = new Map<string, Answer>()

  constructor(program: string, directory: string, plan: Program) {
    this.#program = program
    this.#directory = directory
    this.#plan = plan
  }

  get inTransaction(): boolean {
    return [...this.#answers.values()].some(({ inTransaction }) => inTransaction)
  }

  /** Whether a transaction may have changed a file. */
  get isWriting(): boolean {
    return [...this.#answers.values()].some(({ isWriting }) => isWriting)
  }

  async ask({ by, words }: Step): Promise<Answer> {
    let application = this.#running.get(by)
    if (application === undefined) {
      const seed = this.#plan.seed * 1000 + this.#started++
      application = new Application(this.#program, this.#directory, seed, this.#plan.pieceBytes)
      this.#running.set(by, application)
    }
    const answer = await application.ask(words)
    if (!application.alive) this.#forget(by)
    else this.#answers.set(`${by}/${words[1]}`, answer)
    return answer
  }

  async kill(by: number): Promise<void> {
    await this.#running.get(by)?.kill()
    this.#forget(by)
  }

  async killAll(): Promise<void> {
    for (const by of [...this.#running.keys()]) await this.kill(by)
  }

  /** Closes all connections. Returns the answers. */
  async close(): Promise<Answer[]> {
    const answers: Answer[] = []
    for (const by of [...this.#running.keys()].filter((it) => it !== TOOL).sort((a, b) => a - b)) {
      for (let slot = 0; slot < 8; slot++) answers.push(await this.ask({ by, words: ['close', String(slot)] }))
    }
    await this.killAll()
    return answers
  }

  #forget(by: number): void {
    this.#running.delete(by)
    for (const key of this.#answers.keys()) if (key.startsWith(`${by}/`)) this.#answers.delete(key)
  }
}
