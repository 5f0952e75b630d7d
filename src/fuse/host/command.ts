import { spawn } from 'node:child_process'
import { helperEnvironment } from '../../util/environment.ts'

export interface Outcome {
  /** null when the command could not be started, or did not end in time. */
  readonly status: number | null
  readonly stderr: string
}

export const COMMAND_TIMEOUT_MS = 10_000

export interface RunOptions {
  readonly timeoutMs?: number
  /** What the command has as descriptor 3. */
  readonly descriptor?: number
}

/** Runs a command in the C locale. Does not wait for a command after its timeout, because it may be unkillable. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { timeoutMs = COMMAND_TIMEOUT_MS, descriptor = 'ignore' } = options
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe', descriptor],
      env: helperEnvironment({ LC_ALL: 'C' }),
    })
    let stderr = ''
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      child.unref()
      child.stderr?.destroy()
      resolve({ status: null, stderr: `${command} did not end within ${timeoutMs} ms` })
    }, timeoutMs)
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
    child.on('error', (error) => {
      clearTimeout(timer)
      resolve({ status: null, stderr: error.message })
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ status, stderr: stderr.trim() })
    })
  })
}
