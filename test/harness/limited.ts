import { spawn } from 'node:child_process'
import { DeadlineError } from './wait.ts'

/**
 * Runs a program and returns its standard output. After `limitMs` the program is killed with all processes that it
 * started, which would otherwise hold its pipes open. Rejects with all output if it is killed or fails.
 */
export function runLimited(
  limitMs: number,
  file: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let stdout = ''
    let all = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      all += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (all += text))
    const command = [file, ...args].join(' ')
    let late = false
    const timer = setTimeout(() => {
      late = true
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    }, limitMs)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      if (late) reject(new DeadlineError(`${command}: no end within ${limitMs} ms; it printed:\n${all}`))
      else if (code === 0) resolve(stdout)
      else reject(new Error(`${command}: ended with ${signal ?? String(code)}; it printed:\n${all}`))
    })
  })
}
