import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { OpcodeName } from '../../src/fuse/protocol/kernel.ts'
import { DRIVER } from '../harness/driver.ts'
import { detach } from '../harness/mounts.ts'
import { isRunning, signalProcess } from '../harness/processes.ts'
import { programFile } from '../harness/programs.ts'
import { until, within } from '../harness/wait.ts'

const START_DEADLINE_MS = 60_000
const COMMAND_DEADLINE_MS = 60_000
/** libfuse has the kernel keep names and attributes for a second. */
const NAMES_HOLD_MS = 1_100

/** The content of the special files. */
export interface Facts {
  readonly primaryHostname?: string
  readonly lagMs?: number
  /** The position of each database. */
  readonly positions?: Readonly<Record<string, string>>
}

/** As root, `direct` mounts by itself, else through fusermount3. */
export const IS_ROOT = process.geteuid?.() === 0

/** A new temporary directory that a child process of the same user serves. */
export class Served {
  readonly directory: string
  readonly backing: string
  /** The mount point. */
  readonly mount: string
  readonly #facts: string | undefined
  #child: ChildProcess | undefined
  #lines: Interface | undefined
  /** Lines of the server that no caller has read yet. */
  readonly #said: string[] = []

  private constructor(directory: string, facts: Facts | undefined) {
    this.directory = directory
    this.#facts = facts && path.join(directory, 'facts.json')
    if (facts !== undefined) this.#write(facts)
    this.backing = path.join(directory, 'backing')
    this.mount = path.join(directory, 'mount')
    mkdirSync(this.backing)
  }

  /** Without facts there are no special files. */
  static async start(facts?: Facts): Promise<Served> {
    const served = new Served(mkdtempSync(path.join(tmpdir(), 'ltxd-conformance-')), facts)
    try {
      await served.serve()
    } catch (error) {
      await served.end()
      throw error
    }
    return served
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the server is not running')
    return this.#child.pid
  }

  /** Starts the server. Returns its lines before `mounted`. */
  async serve(): Promise<string[]> {
    const facts = this.#facts === undefined ? [] : [this.#facts]
    const child = spawn(process.execPath, [programFile('plain-server'), this.backing, this.mount, ...facts], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child = child
    this.#lines = createInterface({ input: child.stdout })
    this.#lines.on('line', (line) => this.#said.push(line))
    const before: string[] = []
    for (;;) {
      const line = await this.#line(START_DEADLINE_MS)
      if (line === 'mounted') return before
      before.push(line)
    }
  }

  /** Sets the content of the special files. */
  async tell(facts: Facts): Promise<void> {
    this.#write(facts)
    if (DRIVER === 'fuse-native') await sleep(NAMES_HOLD_MS)
  }

  #write(facts: Facts): void {
    if (this.#facts === undefined) throw new Error('the server was started without special files')
    writeFileSync(`${this.#facts}.new`, JSON.stringify(facts))
    renameSync(`${this.#facts}.new`, this.#facts)
  }

  /** Sends the server a command and returns its answer, a line. */
  async ask(command: string): Promise<string> {
    this.#child?.stdin?.write(`${command}\n`)
    return this.#line(COMMAND_DEADLINE_MS)
  }

  /** The number of requests of each kind that `action` caused. */
  async requestsOf(action: () => Promise<void>): Promise<Partial<Record<OpcodeName, number>>> {
    const counts = async () => JSON.parse(await this.ask('counts')) as Partial<Record<OpcodeName, number>>
    const before = await counts()
    await action()
    const after = await counts()
    const difference: Partial<Record<OpcodeName, number>> = {}
    for (const name of Object.keys(after) as OpcodeName[]) {
      const count = (after[name] ?? 0) - (before[name] ?? 0)
      if (count > 0) difference[name] = count
    }
    return difference
  }

  /** Stops the server cleanly. Returns how the mount was removed. */
  async stop(): Promise<string> {
    const outcome = await this.ask('stop')
    await this.#ended()
    return outcome
  }

  /** Kills the server with SIGKILL. The dead mount stays. */
  async kill(): Promise<void> {
    signalProcess(this.pid, 'SIGKILL')
    await this.#ended()
  }

  /** Kills the server and removes the mount, in any state. */
  async end(): Promise<void> {
    const pid = this.#child?.pid
    if (pid !== undefined && isRunning(pid)) await this.kill()
    await detach(this.mount)
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** A path on the mount. */
  at(...names: string[]): string {
    return path.join(this.mount, ...names)
  }

  /** A path in the backing directory. */
  behind(...names: string[]): string {
    return path.join(this.backing, ...names)
  }

  async #line(deadlineMs: number): Promise<string> {
    return until('an answer of the server', deadlineMs, () => {
      const line = this.#said.shift()
      if (line === undefined && !isRunning(this.pid)) throw new Error('the server has ended')
      return line
    })
  }

  async #ended(): Promise<void> {
    const { pid } = this
    await until('end of the server', START_DEADLINE_MS, () => !isRunning(pid))
  }
}

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program with a deadline, and returns its outcome. */
export async function attempt(program: string, args: readonly string[], cwd = '/'): Promise<Outcome> {
  const options = { timeout: COMMAND_DEADLINE_MS, killSignal: 'SIGKILL', maxBuffer: 1 << 24, cwd } as const
  const ended = new Promise<Outcome>((resolve) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ code: 0, stdout, stderr })
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr })
      else resolve({ code: -1, stdout, stderr: `${error.message}\n${stderr}` })
    })
  })
  return within(`end of ${program}`, COMMAND_DEADLINE_MS + 5_000, ended)
}

/** Runs a program that must succeed, and returns its output. */
export async function run(program: string, ...args: string[]): Promise<string> {
  const outcome = await attempt(program, args)
  if (outcome.code !== 0) throw new Error(`${program} ended with ${outcome.code}: ${outcome.stderr}${outcome.stdout}`)
  return outcome.stdout.trimEnd()
}

/** Runs a shell script in a directory. It must succeed. */
export async function shell(cwd: string, script: string): Promise<string> {
  const outcome = await attempt('bash', ['-euo', 'pipefail', '-c', script], cwd)
  if (outcome.code !== 0) throw new Error(`the script ended with ${outcome.code}: ${outcome.stderr}${outcome.stdout}`)
  return outcome.stdout.trimEnd()
}

/** Runs a Python program with arguments. It must succeed. */
export async function python(program: string, ...args: string[]): Promise<string> {
  return run('python3', '-c', program, ...args)
}
