import { readdirSync, readlinkSync } from 'node:fs'
import { signalProcess } from '../harness/processes.ts'
import type { Bench } from './bench.ts'

/** Stops ltxd's local client in the middle of its work, so that what happens beside it is certain. */

/** A checkpoint may not be due. */
const OPENED_MS = 3000

/** Stops the local client as soon as it has the file open. Returns its pid, or undefined if it has not. */
export async function freeze(bench: Bench, name: string): Promise<number | undefined> {
  const end = performance.now() + OPENED_MS
  let pid: number | undefined
  while (performance.now() < end) {
    pid ??= bench.localClients()[0]
    if (pid !== undefined && hasOpen(pid, `${bench.mount}/${name}`)) {
      signalProcess(pid, 'SIGSTOP')
      return pid
    }
    if (pid === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return undefined
}

/** Lets it continue. */
export function thaw(pid: number | undefined): undefined {
  if (pid !== undefined) signalProcess(pid, 'SIGCONT')
}

function hasOpen(pid: number, path: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => target(`/proc/${pid}/fd/${fd}`) === path)
  } catch {
    return false
  }
}

function target(link: string): string {
  try {
    return readlinkSync(link)
  } catch {
    return ''
  }
}
