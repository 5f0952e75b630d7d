import { type ChildProcess, fork } from 'node:child_process'
import { programFile } from '../harness/programs.ts'
import { within } from '../harness/wait.ts'
import type { Watched } from './watcher.ts'

/** A reader that watches one database all the time (watcher.ts). */
export class Watcher {
  readonly #child: ChildProcess
  #sawSeveral = false

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (message) => (this.#sawSeveral ||= message === 'several'))
  }

  /** Resolves once it has opened the database. */
  static async start(path: string): Promise<Watcher> {
    const child = fork(programFile('cluster-watcher'), [path])
    const opened = new Promise((resolve) => child.once('message', resolve))
    await within(`a reader of ${path}`, 60_000, opened)
    return new Watcher(child)
  }

  /** It has seen enough different states to notice a wrong order. */
  get sawSeveral(): boolean {
    return this.#sawSeveral
  }

  async end(): Promise<Watched> {
    const watched = new Promise<Watched>((resolve) =>
      this.#child.on('message', (message: 'several' | Watched) => typeof message === 'object' && resolve(message)),
    )
    this.#child.send('end')
    return within('what a reader saw', 60_000, watched)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}
