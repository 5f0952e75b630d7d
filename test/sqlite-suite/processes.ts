import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { signalProcess } from '../harness/processes.ts'
import type { End } from './compare.ts'

export interface Job {
  readonly argv: readonly string[]
  /** Created if missing. It may be on a mount that hangs, so that only the job itself touches it. */
  readonly directory: string
  readonly outputFile: string
  readonly limitS: number
}

/** The time after a SIGKILL for a process to end. Beyond that it waits for a file system that does not answer. */
const KILL_MS = 10_000

/** A process that did not end although it was killed. */
export class HungError extends Error {
  override readonly name = 'HungError'
}

const SHELL = 'mkdir -p "$0" && cd "$0" && exec "$@"'

/**
 * Runs a program in a process group of its own, and kills the whole group at the end. Throws a HungError if that does
 * not end it.
 */
export async function runJob({ argv, directory, outputFile, limitS }: Job): Promise<{ end: End; seconds: number }> {
  const output = openSync(outputFile, 'w')
  const start = performance.now()
  const child = spawn('sh', ['-c', SHELL, directory, ...argv], {
    detached: true,
    stdio: ['ignore', output, output],
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  })
  closeSync(output)
  const { pid } = child
  if (pid === undefined) throw new Error(`could not start sh for ${argv[0] ?? ''}`)
  return new Promise((resolve, reject) => {
    let late = false
    const hung = () => reject(new HungError(`${argv.join(' ')}: did not end although it was killed`))
    const limit = setTimeout(() => {
      late = true
      signalProcess(-pid, 'SIGKILL')
      setTimeout(hung, KILL_MS).unref()
    }, limitS * 1000)
    child.once('exit', (code, signal) => {
      clearTimeout(limit)
      signalProcess(-pid, 'SIGKILL')
      resolve({ end: late ? { kind: 'time limit' } : endOf(code, signal), seconds: (performance.now() - start) / 1000 })
    })
  })
}

function endOf(code: number | null, signal: NodeJS.Signals | null): End {
  return signal === null ? { kind: 'exit', code: code ?? -1 } : { kind: 'signal', signal }
}
