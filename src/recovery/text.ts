/** What recovery found of a database, and what it does, in plain words. */

import type { TXID } from '../ltx/format/types.ts'
import { formatPosition, formatTXID } from '../ltx/format/types.ts'
import { formatSize } from '../util/units.ts'
import type { RecoveryFacts, RecoveryStep } from './plan.ts'

export interface Finding {
  readonly what: 'log' | 'file' | 'journal' | 'WAL'
  readonly state: string
}

export function describeFindings({ log, file, journal, wal, remains }: RecoveryFacts): Finding[] {
  return [
    { what: 'log', state: log === undefined ? 'none' : describeLog(log) },
    { what: 'file', state: file === undefined ? 'none' : describeFile(file) },
    {
      what: 'journal',
      state: journal === undefined ? absent(remains, '-journal', 'not hot') : describeJournal(journal),
    },
    { what: 'WAL', state: wal === undefined ? absent(remains, '-wal', 'no complete transaction') : describeWal(wal) },
  ]
}

function absent(remains: readonly string[], suffix: string, state: string): string {
  return remains.includes(suffix) ? state : 'none'
}

function describeLog({ synced, last, lastCommit, torn }: NonNullable<RecoveryFacts['log']>): string {
  if (lastCommit === 0) return `at ${formatPosition(last)}, where the database was dropped`
  const behind = last.txid - synced.txid
  const replay =
    behind === 0n ? 'the file was durable up to there' : `the file was durable up to ${formatTXID(synced.txid)}`
  return `at ${formatPosition(last)}, ${replay}${torn ? ', with a torn tail' : ''}`
}

function describeFile({ sizeBytes, valid, trust }: NonNullable<RecoveryFacts['file']>): string {
  if (!valid) return `${formatSize(sizeBytes)}, not beginning as a SQLite database`
  return `${formatSize(sizeBytes)}${trust === 'file' ? ', as a clean stop left it' : ''}`
}

function describeJournal({ pages, superJournal }: NonNullable<RecoveryFacts['journal']>): string {
  const decided = {
    none: '',
    present: ', of a transaction over several databases whose super-journal is there: undecided',
    gone: ', of a transaction over several databases whose super-journal is gone: committed',
  }
  return `hot, ${count(pages, 'page')}${decided[superJournal]}`
}

function describeWal({ transactions, afterLog }: NonNullable<RecoveryFacts['wal']>): string {
  const rest = afterLog === 0 ? 'all of them in the log' : `${afterLog} of them not in the log`
  return `${count(transactions, 'complete transaction')}, ${rest}`
}

/** One sentence without its period. */
export function describeStep(step: RecoveryStep): string {
  switch (step.step) {
    case 'keep-decided-transaction':
      return 'keep the pages of the transaction that the super-journal decided'
    case 'roll-back-journal':
      return `roll the journal back: ${count(step.pages, 'page')} get their old content`
    case 'replay-log':
      return `write the transactions ${range(step.after, step.to)} of the log into the file`
    case 'believe':
      return `nothing: a clean stop left it at ${formatPosition(step.position)}`
    case 'verify':
      return `check every page against the checksum of ${formatPosition(step.position)}, refuse the database if it differs`
    case 'verify-touched':
      return `check what a crash can have changed against ${formatPosition(step.position)}; every other page before it is first read`
    case 'capture-decided-transaction':
      return 'make what the super-journal decided the next transaction'
    case 'capture-wal':
      return `take ${count(step.transactions, 'transaction')} from the WAL into the log and the file`
    case 'fold-wal':
      return `write ${count(step.transactions, 'transaction')} of the WAL into the file`
    case 'import':
      return 'take the file as it is as the next transaction'
    case 'remove-leftovers':
      return 'make file and log durable, and remove journal and WAL'
  }
}

function range(after: TXID, to: TXID): string {
  const first = (after + 1n) as TXID
  return first === to ? formatTXID(to) : `${formatTXID(first)} to ${formatTXID(to)}`
}

function count(n: number, what: string): string {
  return n === 1 ? `1 ${what}` : `${n} ${what}s`
}
