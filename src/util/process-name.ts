import fs from 'node:fs'

/** A process for a message: its command and its id. */
export function describeProcess(pid: number): string {
  try {
    return `${fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (${pid})`
  } catch {
    return String(pid)
  }
}
