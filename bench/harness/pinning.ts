import { execFileSync } from 'node:child_process'

/**
 * Binds a process, all its threads, and whatever threads they start later, to the first core. Where the application
 * and the node run decides what a wake-up between them costs; a run on one core shows the rest of the cost.
 */
export function pinToFirstCore(pid: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', '0', String(pid)], { stdio: 'ignore', timeout: 5_000 })
}
