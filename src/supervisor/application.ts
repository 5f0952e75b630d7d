import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { errorCode } from '../util/errors.ts'
import type { AppSignal } from './machine.ts'

/** A program that the supervisor started. It shares ltxd's terminal, and its exit is reported exactly once. */
export interface Application {
  readonly pid: number | undefined
  signal(signal: AppSignal): void
}

export interface ApplicationExit {
  /** As in a shell: 128+n for signal n, 127 not found, 126 not executable. */
  readonly exitCode: number
  readonly signal?: NodeJS.Signals
  /** The program could not be started. */
  readonly error?: Error
}

export function startApplication(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  exited: (exit: ApplicationExit) => void,
): Application {
  const [file = '', ...args] = argv
  let isOver = false
  const end = (exit: ApplicationExit) => {
    if (!isOver) exited(exit)
    isOver = true
  }
  const child: ChildProcess = spawn(file, args, { stdio: 'inherit', env: environment })
  child.once('exit', (code, signal) => {
    end(signal === null ? { exitCode: code ?? 1 } : { exitCode: 128 + (constants.signals[signal] ?? 0), signal })
  })
  child.on('error', (error) => {
    // A signal that cannot be sent raises this event as well. Only a program that never ran has no pid.
    if (child.pid === undefined) end({ exitCode: errorCode(error) === 'ENOENT' ? 127 : 126, error })
  })
  return { pid: child.pid, signal: (signal) => void child.kill(signal) }
}
