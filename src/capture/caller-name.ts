import fs from 'node:fs'
import type { Caller } from '../fuse/content.ts'
import { describeProcess } from '../util/process-name.ts'

/** The process of a caller, for the log. */
export function describeCaller({ tid }: Caller): string {
  if (tid === 0) return 'the kernel'
  return describeProcess(processOf(tid))
}

/** The process of a thread: its threads have names of their own. */
function processOf(tid: number): number {
  try {
    return Number(/^Tgid:\s*(\d+)$/m.exec(fs.readFileSync(`/proc/${tid}/status`, 'utf8'))?.[1] ?? tid)
  } catch {
    return tid
  }
}
