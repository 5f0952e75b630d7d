import fs from 'node:fs'
import { escaped } from './log-text.ts'

/** A process for a message: its command, which can be any text, and its id. */
export function describeProcess(pid: number): string {
  try {
    return `${escaped(fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim())} (${pid})`
  } catch {
    return String(pid)
  }
}
