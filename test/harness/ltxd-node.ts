import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { DRIVER } from './driver.ts'
import { answers, detach, isMounted } from './mounts.ts'
import { isRunning, processTree, signalProcess } from './processes.ts'
import { until, within } from './wait.ts'

/**
 * One `ltxd mount` as a child process, driven from outside the way an operator would. Nothing in here touches a
 * file on the mount: only the kernel's mount table and pids, so that a node that hangs cannot hang its caller.
 */

/** The build under test; LTXD_CLI names another one, to compare builds. */
export const LTXD_CLI = process.env['LTXD_CLI'] ?? fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export interface NodeOptions {
  /** The mount point: absolute, without symbolic links; created if missing. */
  readonly mount: string
  readonly data: string
  /** Receives everything that the daemon and its command print. */
  readonly logFile: string
  readonly backup?: string
  /** Address of the HTTP API; a free port of the loopback by default. */
  readonly http?: string
  /** What the node supervises. */
  readonly command?: readonly string[]
  /** Further arguments of `ltxd mount`. */
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
    // A dead mount of an earlier daemon is for ltxd to clear, and mkdir on it fails: leave what is mounted alone.
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

  /** Resolves when the node serves its mount; throws with the log's end when it exits instead or takes too long. */
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

  /** SIGTERM, and what becomes of it; a node that does not end in time is killed, detached, and an error. */
  async stop(deadlineMs = 60_000): Promise<Exit> {
    signalProcess(this.pid, 'SIGTERM')
    try {
      return await within('clean stop of ltxd', deadlineMs, this.exited)
    } catch (error) {
      await this.destroy()
      throw this.explain(error)
    }
  }

  /** `kill -9` of the daemon alone. What it supervised lives on, as after a crash. */
  async kill(): Promise<void> {
    signalProcess(this.pid, 'SIGKILL')
    await within('end of the killed ltxd', 60_000, this.exited)
  }

  /**
   * `kill -9` of the daemon and of everything it started, as when the machine goes. Returns who was killed, and when.
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

  /** Whatever state it is in: ends it and clears its mount. For clean-up; never fails because the node did. */
  async destroy(): Promise<void> {
    await this.killTree()
    await detach(this.options.mount)
  }

  /** `error` with the end of the node's log beside it. */
  explain(error: unknown): Error {
    const message = error instanceof Error ? error.message : String(error)
    return new Error(`${message}\n--- end of ${this.options.logFile} ---\n${this.logTail()}`, { cause: error })
  }

  logTail(lines = 20): string {
    if (!existsSync(this.options.logFile)) return '(no log)'
    return readFileSync(this.options.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  }
}

function describe(exit: Exit): string {
  return exit.signal === null ? `code ${exit.code}` : `signal ${exit.signal}`
}
