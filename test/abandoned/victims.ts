import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { programFile } from '../harness/programs.ts'
import { within } from '../harness/wait.ts'

const run = promisify(execFile)

/**
 * `after`: SIGKILL after the call. `fail`: an error instead of the call. `lie`: an error although the call was carried
 * out.
 */
export type How = 'after' | 'fail' | 'lie'

export interface VictimOptions {
  readonly database: string
  /** Count the calls of the COMMIT alone, or of the whole transaction. */
  readonly window: 'commit' | 'transaction'
  readonly pragmas: readonly string[]
  readonly how: How
  /** The number of the call, from 1 on. 0 ends it at no call, to count them. */
  readonly at: number
}

export interface VictimEnd {
  readonly outcome: 'committed' | 'error' | 'killed'
  /** The number of calls that counted, if the application ended by itself. */
  readonly calls: number
}

/** An order to an application (victims.py). */
export interface VictimOrder extends Pick<VictimOptions, 'database' | 'window' | 'pragmas'> {
  readonly env: { readonly INTERPOSER_ARMED: string } & Readonly<Record<string, string>>
}

interface Ended {
  readonly said: string
  /** The signal that ended it; 0 if it ended by itself. */
  readonly signal: number
}

/** The SQLite library of the applications. */
export type Library = 'system' | 'better-sqlite3'

const DEADLINE_MS = 60_000

/** Runs applications that die, one after the other. */
export class Victims implements AsyncDisposable {
  readonly #notes: string
  readonly #preload: string
  /** The process that forks the applications with the system's SQLite. */
  readonly #parent: ChildProcessByStdio<Writable, Readable, null> | undefined
  readonly #answers: Interface | undefined

  private constructor(notes: string, preload: string, library: Library) {
    this.#notes = notes
    this.#preload = preload
    if (library !== 'system') return
    const script = fileURLToPath(new URL('victims.py', import.meta.url))
    this.#parent = spawn('python3', [script], {
      env: { ...process.env, LD_PRELOAD: preload },
      stdio: ['pipe', 'pipe', 'inherit'],
      // A process group of its own can be killed with everything that it forks.
      detached: true,
    })
    this.#answers = createInterface({ input: this.#parent.stdout })
  }

  /** `notes` is a directory outside the mount. */
  static async start(notes: string, library: Library): Promise<Victims> {
    return new Victims(notes, await compile(notes), library)
  }

  /** Runs one application and returns how it ended. */
  async run({ database, window, pragmas, how, at }: VictimOptions): Promise<VictimEnd> {
    const armed = join(this.#notes, 'armed')
    const count = join(this.#notes, 'calls')
    rmSync(armed, { force: true })
    rmSync(count, { force: true })
    const env = {
      INTERPOSER_DIRECTORY: database,
      INTERPOSER_ARMED: armed,
      INTERPOSER_AT: String(at),
      INTERPOSER_HOW: how,
      INTERPOSER_COUNT: count,
    }
    const { said, signal } = await this.#end({ database, window, pragmas, env })
    if (signal === constants.signals.SIGKILL) return { outcome: 'killed', calls: 0 }
    if (signal !== 0 || said === '') throw new Error(`the application ended by signal ${signal} and said '${said}'`)
    const calls = existsSync(count) ? Number(readFileSync(count, 'utf8')) : 0
    return { outcome: said === 'committed' ? 'committed' : 'error', calls }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid, exitCode, signalCode } = this.#parent ?? {}
    if (this.#parent === undefined || pid === undefined || (exitCode ?? signalCode ?? null) !== null) return
    const ended = once(this.#parent, 'close')
    process.kill(-pid, 'SIGKILL')
    await within('end of the applications', DEADLINE_MS, ended)
  }

  #end(order: VictimOrder): Promise<Ended> {
    return this.#parent === undefined ? betterSqlite3(order, this.#preload) : this.#forked(order)
  }

  async #forked(order: VictimOrder): Promise<Ended> {
    if (this.#parent === undefined || this.#answers === undefined) throw new Error('there is no process to fork from')
    const answer = once(this.#answers, 'line') as Promise<[string]>
    this.#parent.stdin.write(`${JSON.stringify(order)}\n`)
    const [line] = await within(`end of an application at ${order.database}`, DEADLINE_MS, answer)
    return JSON.parse(line) as Ended
  }
}

async function betterSqlite3(order: VictimOrder, preload: string): Promise<Ended> {
  const env = { ...process.env, ...order.env, LD_PRELOAD: preload }
  const limits = { env, timeout: DEADLINE_MS, killSignal: 'SIGTERM' as const }
  try {
    const args = [programFile('better-sqlite3-victim'), JSON.stringify(order)]
    const { stdout } = await run(process.execPath, args, limits)
    return { said: stdout, signal: 0 }
  } catch (error) {
    const { signal } = error as { signal?: NodeJS.Signals | null }
    if (signal === undefined || signal === null) throw error
    return { said: '', signal: constants.signals[signal] }
  }
}

async function compile(directory: string): Promise<string> {
  const library = join(directory, 'interposer.so')
  const source = fileURLToPath(new URL('interposer.c', import.meta.url))
  mkdirSync(directory, { recursive: true })
  await run('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'])
  return library
}
