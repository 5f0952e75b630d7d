/**
 * Plans a database's recovery from facts alone, before anything is changed. The rule: let P be the position up to which
 * the database file is known to be durable. Rolling back a hot journal first, and then replaying the log from P + 1,
 * overwrites every page changed since, torn or not.
 */

import { EMPTY_CHECKSUM, type Position, type TXID } from '../ltx/format/types.ts'
import type { SuperJournalState } from './super-journal.ts'
import { undecided } from './super-journal.ts'

/**
 * How far the database file's pages are trusted. 'file': completely, because the file is as a clean stop left it.
 * 'log': the log holds each page's checksum, and which pages a crash can have damaged is known. 'nothing': every page
 * has to be read.
 */
export type Trust = 'file' | 'log' | 'nothing'

export interface RecoveryFacts {
  /** undefined if the database has no log yet. */
  readonly log:
    | {
        readonly synced: Position
        readonly first: TXID | undefined
        readonly last: Position
        /** Size in pages after `last`; undefined if the log holds no record (then `last` is the base). */
        readonly lastCommit: number | undefined
        /** The log ends in an incomplete transaction, which is cut before anything else. */
        readonly torn: boolean
        /** How many whole transactions are cut with it. */
        readonly beyondTear?: number
      }
    | undefined
  /** undefined if there is no file. `valid`: the file begins with a SQLite header. */
  readonly file: { readonly sizeBytes: number; readonly valid: boolean; readonly trust: Trust } | undefined
  /** Suffixes of the existing files beside it, whether they have content or not. */
  readonly remains: readonly string[]
  /** Present if the journal has a valid header. */
  readonly journal:
    | {
        readonly pages: number
        readonly superJournal: 'none' | SuperJournalState
        readonly superName?: string
        /** It was copied in beside the database (log/copied-journal.ts). */
        readonly isCopied?: boolean
      }
    | undefined
  /** Present if the WAL has committed transactions; `afterLog` of them are not in the log. */
  readonly wal: { readonly transactions: number; readonly afterLog: number } | undefined
}

export type RecoveryStep =
  /**
   * The journal's transaction is committed, because its super-journal is gone, but may not be in the log: read its
   * pages before the rollback.
   */
  | { readonly step: 'keep-decided-transaction' }
  | { readonly step: 'roll-back-journal'; readonly pages: number }
  /** What it restores is in no log, so it is rolled back after the replay, as a transaction of its own. */
  | { readonly step: 'roll-back-copied-journal'; readonly pages: number; readonly position: Position }
  | { readonly step: 'replay-log'; readonly after: TXID; readonly to: TXID }
  /** The file is trusted to be as the clean stop left it. */
  | { readonly step: 'believe'; readonly position: Position }
  /** Pages that a crash may have damaged are verified now, the others before their first read. */
  | { readonly step: 'verify-touched'; readonly position: Position }
  | { readonly step: 'verify'; readonly position: Position }
  | { readonly step: 'capture-decided-transaction' }
  | { readonly step: 'capture-wal'; readonly transactions: number }
  | { readonly step: 'fold-wal'; readonly transactions: number }
  | { readonly step: 'import' }
  | { readonly step: 'remove-leftovers' }

export type RecoveryPlan =
  | { readonly kind: 'recover'; readonly steps: readonly RecoveryStep[] }
  /** Not a database, or a dropped one. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refuse'; readonly reason: string; readonly advice?: string }

export function planRecovery(facts: RecoveryFacts): RecoveryPlan {
  const { log, file } = facts
  const waits = facts.journal?.superJournal === 'unreachable' && (file?.sizeBytes ?? 0) > 0
  if (waits) return { kind: 'refuse', ...undecided(facts.journal.superName ?? '') }
  if (log === undefined)
    return file?.valid === true ? { kind: 'recover', steps: adoptPlain(facts) } : { kind: 'nothing' }
  const dropped = log.lastCommit === 0 || (log.lastCommit === undefined && log.last.checksum === EMPTY_CHECKSUM)
  if (dropped) return file?.valid === true ? { kind: 'recover', steps: adoptPlain(facts) } : { kind: 'nothing' }
  const rebuild = file === undefined || file.sizeBytes === 0
  if (rebuild && log.first !== 1n) {
    return { kind: 'refuse', reason: 'its file is missing, and its log does not reach back to the first transaction' }
  }
  if (isClean(facts)) return { kind: 'recover', steps: resumeCleanStop(facts, log) }
  const isCopied = facts.journal?.isCopied === true
  return { kind: 'recover', steps: (isCopied ? resumeBesideCopied : resume)(facts, log, rebuild) }
}

function isClean({ file, journal, wal }: RecoveryFacts): boolean {
  return file?.trust === 'file' && journal === undefined && (wal?.afterLog ?? 0) === 0
}

/**
 * After a clean stop nothing has to be recovered. Applications that still had the database open may have left files,
 * which are removed.
 */
function resumeCleanStop({ remains }: RecoveryFacts, { last }: NonNullable<RecoveryFacts['log']>): RecoveryStep[] {
  const trust = { step: 'believe', position: last } as const
  return remains.length > 0 ? [trust, { step: 'remove-leftovers' }] : [trust]
}

/** A plain SQLite database is recovered as SQLite would recover it, and then imported. */
function adoptPlain({ journal, wal }: RecoveryFacts): RecoveryStep[] {
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

/** As SQLite would: it ignores a journal whose super-journal is gone. */
function resumeBesideCopied(
  { journal }: RecoveryFacts,
  { last, synced }: NonNullable<RecoveryFacts['log']>,
  rebuild: boolean,
): RecoveryStep[] {
  const after = rebuild ? (0n as TXID) : synced.txid
  const steps: RecoveryStep[] = last.txid > after ? [{ step: 'replay-log', after, to: last.txid }] : []
  if (journal === undefined || journal.superJournal === 'gone') steps.push({ step: 'verify', position: last })
  else steps.push({ step: 'roll-back-copied-journal', pages: journal.pages, position: last })
  return [...steps, { step: 'remove-leftovers' }]
}

/**
 * The TXID after which to replay. The journal may belong to the last transaction that is durable in the file, if the
 * journal's end did not reach the disk. Rolling it back has then removed that transaction from the file, so the replay
 * starts one transaction earlier.
 */
function replayAfter({ synced, first }: NonNullable<RecoveryFacts['log']>, rolledBack: boolean): TXID {
  const holdsSynced = first !== undefined && first <= synced.txid
  return rolledBack && holdsSynced ? ((synced.txid - 1n) as TXID) : synced.txid
}

/** The steps as text, without those that every recovery takes. Empty if there is nothing to report. */
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
    case 'roll-back-copied-journal':
      return `roll back a journal that was copied in (${step.pages} pages)`
    case 'capture-wal':
      return `capture ${step.transactions} transactions from the WAL`
    case 'fold-wal':
      return `fold ${step.transactions} transactions of the WAL`
    default:
      return step.step
  }
}
