import { execFile } from 'node:child_process'
import { LTXD_CLI } from '../harness/ltxd-node.ts'

export interface Outcome {
  /** null if the command did not end by itself in time. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `ltxd` with these arguments, for a minute at most. Never rejects. */
export function ltxd(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Outcome> {
  return program(process.execPath, [LTXD_CLI, ...args], options)
}

export function program(
  file: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    const env = { ...process.env, HOME: '/nonexistent', ...options.env }
    const settings = { ...options, env, timeout: 60_000, killSignal: 'SIGKILL' as const }
    execFile(file, args, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null
      resolve({ code, stdout, stderr })
    })
  })
}
