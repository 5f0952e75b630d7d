import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, bytesOf } from './application.ts'
import { explainRejection } from './differences.ts'
import type { Facts } from './facts.ts'
import type { Step } from './program.ts'
import { type Side, TOOL } from './side.ts'

/** The WAL of a database that is closed everywhere goes when ltxd has closed it, too. */
const CLOSED_MS = 10_000
const SIDE_FILES = ['-wal', '-shm', '-journal']
const MAIN_FIRST = ['cp', 'cp-inplace', 'mv', 'replace', 'ln', 'put', 'truncate']

export interface FileStep {
  readonly mount: Side
  readonly plain: Side
  /** The program's directory among the plain ones. */
  readonly directory: string
  readonly facts: Facts
}

/** Of a file operation: both answers, or why the plain directory does not do it. */
export type FileOutcome = { readonly ours: Answer; readonly theirs: Answer } | { readonly rejected: string }

export function isFileOperation({ words }: Step): boolean {
  return words[0] === 'rm' || MAIN_FIRST.includes(words[0] ?? '')
}

/**
 * What the mount rejects is not done in the plain directory either: the program continues, and nothing may have
 * changed. What it accepts must do the same in both.
 */
export async function playFileStep(by: Step, { mount, plain, directory, facts }: FileStep): Promise<FileOutcome> {
  // A process that closes a file loses its POSIX locks on it.
  const step = { by: TOOL, words: by.words }
  const [verb = '', from = '', to = ''] = step.words
  // The journal's end is rejected then, and both are damaged, but the log has what was committed before.
  if (verb === 'truncate' && facts.hasHotJournal(from))
    return { rejected: 'not tried: a file is cut off within a transaction, which then leaves no SQLite database' }
  const ours = await answer(step, mount, facts)
  const reason = ours.code === 0 ? undefined : explainRejection(step, ours, facts)
  facts.hasRejectedWrite ||= reason !== undefined && verb !== 'ln'
  if (reason !== undefined) return { rejected: reason }
  // The open, or the truncation, begins a replacement, which ends without content: the former one comes back.
  if (verb === 'truncate' && to === '0' && ours.code === 0 && facts.isDatabase(from) && !facts.isInUse(from))
    return { rejected: 'a database is replaced by nothing' }
  const hadWal = facts.sizeBytes(`${from}-wal`) > 0 || facts.hasHotJournal(from)
  const hadOwn = facts.sizeBytes(from) > 0
  const theirs = await plain.ask(step)
  if (theirs.code !== 0) return { ours, theirs }
  if (verb === 'rm' && /-(?:wal|shm|journal)$/.test(from)) facts.hasLostWal ||= hadOwn
  else if (verb === 'rm') displace(from, directory, facts)
  else if (verb === 'mv' || verb === 'replace') {
    displace(to, directory, facts)
    if (verb === 'mv') facts.displace(from, to)
    if (verb === 'mv') facts.hasLostWal ||= hadWal
  }
  return { ours, theirs }
}

/** A file takes the place, or none does: ltxd removes what the former one leaves. */
function displace(name: string, directory: string, facts: Facts): void {
  facts.displace(name)
  for (const suffix of SIDE_FILES) rmSync(bytesOf(`${directory}/${name}${suffix}`), { force: true })
}

async function answer(step: Step, mount: Side, facts: Facts): Promise<Answer> {
  const until = performance.now() + CLOSED_MS
  for (;;) {
    const ours = await mount.ask(step)
    const [verb, from = '', to = ''] = step.words
    const target = verb === 'truncate' ? from : to
    const mayClose = (verb === 'cp' || (verb === 'truncate' && to === '0')) && !facts.isInUse(target)
    if (ours.code === 0 || !mayClose || performance.now() > until) return ours
    await sleep(50)
  }
}
