import type { Answer } from './application.ts'
import { checkpointed, type Difference, isCheckpoint } from './differences.ts'
import type { Finding } from './finding.ts'
import type { Step } from './program.ts'

/** What became of a program. */
export interface Outcome {
  readonly finding: Finding | undefined
  /** The difference at which the program ended early. */
  readonly ended: Difference | undefined
  /** What the mount rejected, and the plain directory therefore did not do. */
  readonly rejected: readonly string[]
  readonly steps: number
  readonly comparisons: number
  readonly unlike: number
}

const BUSY = 5

export function isSame(a: Answer, b: Answer): boolean {
  return a.code === b.code && a.extended === b.extended && a.text === b.text && a.inTransaction === b.inTransaction
}

/** Whether the answer on the mount may be another one a moment later: ltxd's own connection has the lock. */
export function isBusy(step: Step, answer: Answer): boolean {
  if (isCheckpoint(step)) return answer.code === BUSY || checkpointed(answer)?.busy === true
  return answer.code === BUSY || (answer.code === 0 && /^PRAGMA (?:\w+\.)?journal_mode/.test(step.words[2] ?? ''))
}

/** Whether a checkpoint has copied everything, and was only kept from beginning the WAL anew. */
export function isOnlyNotAnew({ words }: Step, answer: Answer): boolean {
  const row = checkpointed(answer)
  return row?.left === 0 && row.log !== -1 && /RESTART|TRUNCATE/.test(words[2] ?? '')
}

export function show({ code, extended, text, inTransaction }: Answer): string {
  return `${code}${extended === code ? '' : ` (${extended})`} ${JSON.stringify(text)}${inTransaction ? ', in a transaction' : ''}`
}
