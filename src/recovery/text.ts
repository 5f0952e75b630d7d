/** Describes in plain words what recovery found of a database, and what it does. */

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
    behind === 0n ? 'the file is durable up to there' : `the file is durable up to ${formatTXID(synced.txid)}`
  return `at ${formatPosition(last)}, ${replay}${torn ? ', with a torn tail' : ''}`
}

function describeFile({ sizeBytes, valid, trust }: NonNullable<RecoveryFacts['file']>): string {
  if (!valid) return `${formatSize(sizeBytes)}, does not begin with a SQLite header`
  return `${formatSize(sizeBytes)}${trust === 'file' ? ', as a clean stop left it' : ''}`
}

function describeJournal({ pages, superJournal }: NonNullable<RecoveryFacts['journal']>): string {
  const decided = {
    none: '',
    present: ', of a transaction over several databases whose super-journal exists: not committed',
    gone: ', of a transaction over several databases whose super-journal is gone: committed',
    unreachable: ', of a transaction over several databases whose super-journal cannot be looked for',
  }
  return `hot, ${count(pages, 'page')}${decided[superJournal]}`
}

function describeWal({ transactions, afterLog }: NonNullable<RecoveryFacts['wal']>): string {
  const rest = afterLog === 0 ? 'all of them in the log' : `${afterLog} of them not in the log`
  return `${count(transactions, 'complete transaction')}, ${rest}`
}

/** Returns one sentence without a period. */
export function describeStep(step: RecoveryStep): string {
  switch (step.step) {
    case 'keep-decided-transaction':
      return 'read the pages of the transaction that the removal of the super-journal committed'
    case 'roll-back-journal':
      return `roll back the journal: ${count(step.pages, 'page')}`
    case 'roll-back-copied-journal':
      return `roll back the journal that was copied in, ${count(step.pages, 'page')}, as the next transaction`
    case 'replay-log':
      return `replay the log into the file: ${range(step.after, step.to)}`
    case 'believe':
      return `nothing: a clean stop left it at ${formatPosition(step.position)}`
    case 'verify':
      return `verify every page against the checksum of ${formatPosition(step.position)}; if it differs, the database is not served`
    case 'verify-touched':
      return `verify the pages that a crash can have damaged against ${formatPosition(step.position)}, the others before their first read`
    case 'capture-decided-transaction':
      return 'commit the transaction of the super-journal as the next transaction'
    case 'capture-wal':
      return `capture ${count(step.transactions, 'transaction')} of the WAL`
    case 'fold-wal':
      return `checkpoint ${count(step.transactions, 'transaction')} of the WAL into the file`
    case 'import':
      return 'import the file as the next transaction'
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
