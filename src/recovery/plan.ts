/**
 * What recovery will do with a database, decided from facts alone, before anything is touched.
 * The rule behind it: let P be the position up to which the database file is known to be durable. Rolling back a hot journal
 * first, and then replaying the log from P + 1, overwrites every page changed since, torn or not.
 */

import type { Position, TXID } from '../ltx/format/types.ts'

/**
 * What is believed of the database file's pages. 'file': all of them, it is as a clean stop left it; 'log': the log knows what each should
 * be, and what a crash can have changed is known; 'nothing': all of them have to be read.
 */
export type Trust = 'file' | 'log' | 'nothing'

export interface RecoveryFacts {
  /** undefined: the database has no log yet. */
  readonly log:
    | {
        readonly synced: Position
        readonly first: TXID | undefined
        readonly last: Position
        /** Size in pages after `last`; undefined when the log holds no record any more (then `last` is the base). */
        readonly lastCommit: number | undefined
        /** It ends in what is no whole transaction, which is cut before anything else. */
        readonly torn: boolean
      }
    | undefined
  /** undefined: there is no file. `valid`: it begins with a SQLite header. */
  readonly file: { readonly sizeBytes: number; readonly valid: boolean; readonly trust: Trust } | undefined
  /** Suffixes of the files beside it, in use or not. */
  readonly remains: readonly string[]
  /** A journal with a valid header. */
  readonly journal: { readonly pages: number; readonly superJournal: 'none' | 'present' | 'gone' } | undefined
  /** A WAL with committed transactions; `afterLog` of them are not in the log. */
  readonly wal: { readonly transactions: number; readonly afterLog: number } | undefined
}

export type RecoveryStep =
  /** The transaction of the journal was decided (its super-journal is gone), but is not in the log: keep its pages aside. */
  | { readonly step: 'keep-decided-transaction' }
  | { readonly step: 'roll-back-journal'; readonly pages: number }
  | { readonly step: 'replay-log'; readonly after: TXID; readonly to: TXID }
  /** The file is taken for what it was at the clean stop. */
  | { readonly step: 'believe'; readonly position: Position }
  /** What a crash may have changed is checked, the rest before it is first read by anybody. */
  | { readonly step: 'verify-touched'; readonly position: Position }
  | { readonly step: 'verify'; readonly position: Position }
  | { readonly step: 'capture-decided-transaction' }
  | { readonly step: 'capture-wal'; readonly transactions: number }
  | { readonly step: 'fold-wal'; readonly transactions: number }
  | { readonly step: 'import' }
  | { readonly step: 'remove-leftovers' }

export type RecoveryPlan =
  | { readonly kind: 'recover'; readonly steps: readonly RecoveryStep[] }
  /** Not a database, or one that was dropped. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refuse'; readonly reason: string }

export function planRecovery(facts: RecoveryFacts): RecoveryPlan {
  const { log, file } = facts
  if (log === undefined) return file?.valid === true ? { kind: 'recover', steps: adopt(facts) } : { kind: 'nothing' }
  const dropped = log.lastCommit === 0 || (log.lastCommit === undefined && log.last.txid === 0n)
  if (dropped) return file?.valid === true ? { kind: 'recover', steps: adopt(facts) } : { kind: 'nothing' }
  const rebuild = file === undefined || file.sizeBytes === 0
  if (rebuild && log.first !== 1n) {
    return { kind: 'refuse', reason: 'its file is missing, and its log does not reach back to the first transaction' }
  }
  return { kind: 'recover', steps: isAsLeft(facts) ? settled(facts, log) : resume(facts, log, rebuild) }
}

function isAsLeft({ file, journal, wal }: RecoveryFacts): boolean {
  return file?.trust === 'file' && journal === undefined && (wal?.afterLog ?? 0) === 0
}

/** A node that was stopped cleanly leaves nothing to do; applications that still had the database open, files that are in the way. */
function settled({ remains }: RecoveryFacts, { last }: NonNullable<RecoveryFacts['log']>): RecoveryStep[] {
  const believe = { step: 'believe', position: last } as const
  return remains.length > 0 ? [believe, { step: 'remove-leftovers' }] : [believe]
}

/** A plain SQLite database becomes ours as it would be opened by SQLite. */
function adopt({ journal, wal }: RecoveryFacts): RecoveryStep[] {
  const steps: RecoveryStep[] = []
  if (journal !== undefined && journal.superJournal !== 'gone')
    steps.push({ step: 'roll-back-journal', pages: journal.pages })
  if (wal !== undefined) steps.push({ step: 'fold-wal', transactions: wal.transactions })
  steps.push({ step: 'import' }, { step: 'remove-leftovers' })
  return steps
}

function resume(
  { file, journal, wal }: RecoveryFacts,
  log: NonNullable<RecoveryFacts['log']>,
  rebuild: boolean,
): RecoveryStep[] {
  const steps: RecoveryStep[] = []
  const decided = !rebuild && journal?.superJournal === 'gone'
  if (decided) steps.push({ step: 'keep-decided-transaction' })
  if (!rebuild && journal !== undefined) steps.push({ step: 'roll-back-journal', pages: journal.pages })
  const after = rebuild ? (0n as TXID) : replayAfter(log, journal !== undefined)
  if (log.last.txid > after) steps.push({ step: 'replay-log', after, to: log.last.txid })
  const inPart = !rebuild && !decided && file?.trust === 'log'
  steps.push({ step: inPart ? 'verify-touched' : 'verify', position: log.last })
  if (decided) steps.push({ step: 'capture-decided-transaction' })
  if (wal !== undefined && wal.afterLog > 0) steps.push({ step: 'capture-wal', transactions: wal.afterLog })
  steps.push({ step: 'remove-leftovers' })
  return steps
}

/**
 * The journal may be that of the very transaction up to which the file is durable, if it ended in the log but not yet on the disk: then
 * rolling it back took that transaction out of the file.
 */
function replayAfter({ synced, first }: NonNullable<RecoveryFacts['log']>, rolledBack: boolean): TXID {
  const held = first !== undefined && first <= synced.txid
  return rolledBack && held ? ((synced.txid - 1n) as TXID) : synced.txid
}

/** The steps for a person, those left out that each recovery takes. Empty when there is nothing to tell. */
export function describeSteps(steps: readonly RecoveryStep[]): string {
  return steps
    .filter(({ step }) => !['believe', 'verify', 'verify-touched', 'remove-leftovers'].includes(step))
    .map(describe)
    .join(', ')
}

function describe(step: RecoveryStep): string {
  switch (step.step) {
    case 'replay-log':
      return `replay log ${step.after + 1n}..${step.to}`
    case 'roll-back-journal':
      return `roll back journal (${step.pages} pages)`
    case 'capture-wal':
      return `capture ${step.transactions} transactions from the WAL`
    case 'fold-wal':
      return `fold ${step.transactions} transactions of the WAL`
    default:
      return step.step
  }
}
