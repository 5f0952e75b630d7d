import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { DRIVER } from './driver.ts'
import { answers, detach, isMounted } from './mounts.ts'
import { isRunning, processTree, signalProcess } from './processes.ts'
import { until, within } from './wait.ts'

/**
 * An `ltxd mount` as a child process. This class uses only pids and the kernel's mount table, never a file on the
 * mount, so that a hung node cannot hang its caller.
 */

/** The build under test. LTXD_CLI names another one. */
export const LTXD_CLI = process.env['LTXD_CLI'] ?? fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export interface NodeOptions {
  /** The mount point: absolute, without symbolic links; created if missing. */
  readonly mount: string
  readonly data: string
  /** The file for all output of the daemon and its command. */
  readonly logFile: string
  readonly backup?: string
  /** Address of the HTTP API; a free port of the loopback by default. */
  readonly http?: string
  /** The command that the node supervises. */
  readonly command?: readonly string[]
  /** More arguments for `ltxd mount`. */
  readonly arguments?: readonly string[]
  readonly cli?: string
  /** The Node.js to run it; this process's own by default. */
  readonly node?: string
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class LtxdNode {
  readonly options: NodeOptions
  readonly pid: number
  readonly exited: Promise<Exit>
  #exit: Exit | undefined

  private constructor(options: NodeOptions, child: ChildProcess, pid: number) {
    this.options = options
    this.pid = pid
    this.exited = new Promise((resolve) =>
      child.once('exit', (code, signal) => {
        this.#exit = { code, signal }
        resolve(this.#exit)
      }),
    )
  }

  /** The arguments of the command line that `start` runs, after `node`. */
  static arguments(options: NodeOptions): string[] {
    return [
      options.cli ?? LTXD_CLI,
      'mount',
      options.mount,
      '--data',
      options.data,
      ...(DRIVER === 'direct' ? [] : ['--driver', DRIVER]),
      ...(options.backup === undefined ? [] : ['--backup', options.backup]),
      '--http',
      options.http ?? '127.0.0.1:0',
      ...(options.arguments ?? []),
      ...(options.command === undefined ? [] : ['--', ...options.command]),
    ]
  }

  /** Starts the process and returns at once; see `mounted`. */
  static start(options: NodeOptions): LtxdNode {
    const cli = options.cli ?? LTXD_CLI
    if (!existsSync(cli)) throw new Error(`${cli} does not exist: run "npm run build" first`)
    // mkdir fails on a dead mount, which ltxd itself clears.
    if (!isMounted(options.mount)) mkdirSync(options.mount, { recursive: true })
    const log = openSync(options.logFile, 'a')
    try {
      const child = spawn(options.node ?? process.execPath, LtxdNode.arguments(options), {
        stdio: ['ignore', log, log],
      })
      if (child.pid === undefined) throw new Error(`could not start ${cli}`)
      return new LtxdNode(options, child, child.pid)
    } finally {
      closeSync(log)
    }
  }

  get running(): boolean {
    return this.#exit === undefined
  }

  /** Resolves once the node serves its mount. Throws with the end of its log if it exits or takes too long. */
  async mounted(deadlineMs = 60_000): Promise<void> {
    try {
      await until(`mount of ${this.options.mount}`, deadlineMs, () => {
        if (this.#exit !== undefined) throw new Error(`ltxd ended (${describe(this.#exit)}) before it had mounted`)
        return answers(this.options.mount)
      })
    } catch (error) {
      throw this.explain(error)
    }
  }

  /** Sends SIGTERM and returns how the node ended. Throws if it takes too long, after a SIGKILL and an unmount. */
  async stop(deadlineMs = 60_000): Promise<Exit> {
    signalProcess(this.pid, 'SIGTERM')
    try {
      return await within('clean stop of ltxd', deadlineMs, this.exited)
    } catch (error) {
      await this.destroy()
      throw this.explain(error)
    }
  }

  /** Kills the daemon alone. Its supervised command keeps running, as after a crash. */
  async kill(): Promise<void> {
    signalProcess(this.pid, 'SIGKILL')
    await within('end of the killed ltxd', 60_000, this.exited)
  }

  /**
   * Kills the daemon and every process that it started, as if the machine failed. Returns their pids and the time.
   */
  async killTree(): Promise<{ pids: number[]; atMs: number }> {
    const pids = this.running ? processTree(this.pid) : []
    for (const pid of pids) signalProcess(pid, 'SIGKILL')
    const atMs = Date.now()
    await until('end of the killed processes', 60_000, () => pids.every((pid) => !isRunning(pid)))
    // The kernel knows of the end before this process does.
    await within('exit of the killed ltxd', 60_000, this.exited)
    return { pids, atMs }
  }

  /** Kills the node and removes its mount, in any state. For clean-up. */
  async destroy(): Promise<void> {
    await this.killTree()
    await detach(this.options.mount)
  }

  /** Adds the end of the node's log to an error. */
  explain(error: unknown): Error {
    const message = error instanceof Error ? error.message : String(error)
    return new Error(`${message}\n--- end of ${this.options.logFile} ---\n${this.logTail()}`, { cause: error })
  }

  logTail(lines = 20): string {
    if (!existsSync(this.options.logFile)) return '(no log)'
    return this.logLines(() => true)
      .slice(-lines)
      .join('\n')
  }

  /** The lines of the node's log that are `wanted`. */
  logLines(wanted: (line: string) => boolean): string[] {
    return readFileSync(this.options.logFile, 'utf8').trimEnd().split('\n').filter(wanted)
  }
}

function describe(exit: Exit): string {
  return exit.signal === null ? `code ${exit.code}` : `signal ${exit.signal}`
}
