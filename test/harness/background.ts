import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { LTXD_CLI } from './ltxd-node.ts'
import { until, within } from './wait.ts'

/** An `ltxd` command that runs until a signal stops it. */
export class BackgroundCommand {
  readonly #child: ChildProcess
  readonly #logFile: string
  readonly #from: number
  readonly exited: Promise<number | NodeJS.Signals>

  /** The command's output is appended to `logFile`. */
  constructor(args: readonly string[], logFile: string, env: NodeJS.ProcessEnv = {}, cwd?: string) {
    const log = openSync(logFile, 'a')
    this.#logFile = logFile
    this.#from = readFileSync(logFile, 'utf8').length
    this.#child = spawn(process.execPath, [LTXD_CLI, ...args], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
      cwd,
    })
    closeSync(log)
    this.exited = new Promise((resolve) =>
      this.#child.once('exit', (code, signal) => resolve(code ?? signal ?? 'SIGKILL')),
    )
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** The output of this run so far. */
  output(): string {
    return readFileSync(this.#logFile, 'utf8').slice(this.#from)
  }

  /** Waits until the output matches. */
  async said(expected: RegExp, deadlineMs = 60_000): Promise<void> {
    await until(`${String(expected)} from ltxd`, deadlineMs, () => {
      if (expected.test(this.output())) return true
      if (this.#child.exitCode !== null) throw new Error(`ltxd has ended: ${this.output()}`)
      return false
    })
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends the signal. Returns the exit code, or the signal that ended the command. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', deadlineMs = 60_000): Promise<number | NodeJS.Signals> {
    this.#child.kill(signal)
    return within('end of ltxd', deadlineMs, this.exited)
  }
}
