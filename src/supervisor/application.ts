import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { errorCode } from '../util/errors.ts'
import type { AppSignal } from './machine.ts'

/** A program that the supervisor started: it has the daemon's terminal, and ends exactly once. */
export interface Application {
  readonly pid: number | undefined
  signal(signal: AppSignal): void
}

export interface ApplicationExit {
  /** As a shell would say it: 128+n for signal n, 127 not found, 126 not executable. */
  readonly exitCode: number
  readonly signal?: NodeJS.Signals
  /** It could not even be started. */
  readonly error?: Error
}

export function startApplication(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  exited: (exit: ApplicationExit) => void,
): Application {
  const [file = '', ...args] = argv
  let over = false
  const end = (exit: ApplicationExit) => {
    if (!over) exited(exit)
    over = true
  }
  const child: ChildProcess = spawn(file, args, { stdio: 'inherit', env: environment })
  child.once('exit', (code, signal) => {
    end(signal === null ? { exitCode: code ?? 1 } : { exitCode: 128 + (constants.signals[signal] ?? 0), signal })
  })
  child.on('error', (error) => {
    // Also raised when a signal cannot be sent; only a program that never ran has no pid.
    if (child.pid === undefined) end({ exitCode: errorCode(error) === 'ENOENT' ? 127 : 126, error })
  })
  return { pid: child.pid, signal: (signal) => void child.kill(signal) }
}
