import { execFileSync } from 'node:child_process'

/**
 * Binds a process to the first core, with all its present and later threads. The cost of a wake-up between application
 * and node depends on their cores. A run on one core shows the rest of the cost.
 */
export function pinToFirstCore(pid: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', '0', String(pid)], { stdio: 'ignore', timeout: 5_000 })
}
