import { expect, test } from 'vitest'
import type { Checksum, Position } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM, toTXID } from '../ltx/format/types.ts'
import type { RecoveryFacts } from './plan.ts'
import { planRecovery } from './plan.ts'

const at = (txid: number): Position => ({ txid: toTXID(txid), checksum: ((1n << 63n) | BigInt(txid)) as Checksum })
const FILE = { sizeBytes: 8192, valid: true, trust: 'nothing' } as const
/** AS_LEFT: a file as a clean stop left it. LARGE: a file that is too large to be read whole. */
const AS_LEFT = { ...FILE, trust: 'file' } as const
const LARGE = { ...FILE, trust: 'log' } as const
const log = (synced: number, last: number, first = 1, lastCommit: number | undefined = 2) => ({
  synced: at(synced),
  first: toTXID(first),
  last: at(last),
  lastCommit,
  torn: false,
})
const facts = (fields: Partial<RecoveryFacts>): RecoveryFacts => ({
  log: undefined,
  file: FILE,
  remains: [],
  journal: undefined,
  wal: undefined,
  ...fields,
})

const HOT = { pages: 3, superJournal: 'none' } as const
const DECIDED = { pages: 3, superJournal: 'gone' } as const
const UNDECIDED = { pages: 3, superJournal: 'present' } as const
const COPIED = { ...HOT, isCopied: true } as const

/** Situation, facts, steps: one row for each kind of crash. */
const TABLE: [string, Partial<RecoveryFacts>, string[]][] = [
  ['file and log agree', { log: log(7, 7) }, ['verify', 'remove-leftovers']],
  ['the file is behind the log', { log: log(4, 7) }, ['replay-log 5..7', 'verify', 'remove-leftovers']],
  [
    'the WAL holds what the log lacks',
    { log: log(7, 7), wal: { transactions: 5, afterLog: 2 } },
    ['verify', 'capture-wal 2', 'remove-leftovers'],
  ],
  [
    'the WAL holds nothing new',
    { log: log(4, 7), wal: { transactions: 3, afterLog: 0 } },
    ['replay-log 5..7', 'verify', 'remove-leftovers'],
  ],
  [
    'the log lacks the transaction of a hot journal',
    { log: log(4, 7), journal: HOT },
    ['roll-back-journal', 'replay-log 4..7', 'verify', 'remove-leftovers'],
  ],
  [
    'the log holds the transaction of a hot journal, and so does the file',
    { log: log(7, 7), journal: HOT },
    ['roll-back-journal', 'replay-log 7..7', 'verify', 'remove-leftovers'],
  ],
  [
    'a hot journal, and the log begins after the file',
    { log: log(7, 8, 8), journal: HOT },
    ['roll-back-journal', 'replay-log 8..8', 'verify', 'remove-leftovers'],
  ],
  [
    'the super-journal still exists: the transaction is not committed',
    { log: log(7, 7), journal: UNDECIDED },
    ['roll-back-journal', 'replay-log 7..7', 'verify', 'remove-leftovers'],
  ],
  [
    'the super-journal is gone: the transaction is committed',
    { log: log(7, 7), journal: DECIDED },
    [
      'keep-decided-transaction',
      'roll-back-journal',
      'replay-log 7..7',
      'verify',
      'capture-decided-transaction',
      'remove-leftovers',
    ],
  ],
  [
    'a hot journal was copied in with the database',
    { log: log(4, 7), journal: COPIED },
    ['replay-log 5..7', 'roll-back-copied-journal', 'remove-leftovers'],
  ],
  [
    'a hot journal was copied in beside a file that is gone',
    { log: log(7, 7), file: undefined, journal: COPIED },
    ['replay-log 1..7', 'roll-back-copied-journal', 'remove-leftovers'],
  ],
  [
    'a journal whose super-journal is gone was copied in with the database',
    { log: log(7, 7), journal: { ...COPIED, superJournal: 'gone' } },
    ['verify', 'remove-leftovers'],
  ],
  [
    'the file is missing, the log has every transaction',
    { log: log(7, 9), file: undefined },
    ['replay-log 1..9', 'verify', 'remove-leftovers'],
  ],
  [
    'the file is empty, the log has every transaction',
    { log: log(0, 9), file: { ...FILE, sizeBytes: 0, valid: false }, journal: HOT },
    ['replay-log 1..9', 'verify', 'remove-leftovers'],
  ],
  ['a clean stop', { log: log(7, 7), file: AS_LEFT }, ['believe']],
  [
    'a clean stop under an application that had the database open',
    { log: log(7, 7), file: AS_LEFT, remains: ['-wal', '-shm'], wal: { transactions: 3, afterLog: 0 } },
    ['believe', 'remove-leftovers'],
  ],
  [
    'a clean stop, and then a journal',
    { log: log(7, 7), file: AS_LEFT, remains: ['-journal'], journal: HOT },
    ['roll-back-journal', 'replay-log 7..7', 'verify', 'remove-leftovers'],
  ],
  [
    'a clean stop, and then a WAL',
    { log: log(7, 7), file: AS_LEFT, remains: ['-wal'], wal: { transactions: 3, afterLog: 1 } },
    ['verify', 'capture-wal 1', 'remove-leftovers'],
  ],
  [
    'a large file that is behind the log',
    { log: log(4, 7), file: LARGE },
    ['replay-log 5..7', 'verify-touched', 'remove-leftovers'],
  ],
  [
    'a large file with a hot journal',
    { log: log(4, 7), file: LARGE, journal: HOT },
    ['roll-back-journal', 'replay-log 4..7', 'verify-touched', 'remove-leftovers'],
  ],
  [
    'a large file whose transaction a super-journal committed',
    { log: log(7, 7), file: LARGE, journal: DECIDED },
    [
      'keep-decided-transaction',
      'roll-back-journal',
      'replay-log 7..7',
      'verify',
      'capture-decided-transaction',
      'remove-leftovers',
    ],
  ],
  ['a plain database', {}, ['import', 'remove-leftovers']],
  ['a plain database with a hot journal', { journal: HOT }, ['roll-back-journal', 'import', 'remove-leftovers']],
  ['a plain database with a journal whose super-journal is gone', { journal: DECIDED }, ['import', 'remove-leftovers']],
  [
    'a plain database with a WAL',
    { wal: { transactions: 2, afterLog: 2 } },
    ['fold-wal 2', 'import', 'remove-leftovers'],
  ],
  [
    'a database file that reappears after the database was dropped',
    { log: log(4, 7, 1, 0) },
    ['import', 'remove-leftovers'],
  ],
]

test.each(TABLE)('%s', (_situation, fields, expected) => {
  const plan = planRecovery(facts(fields))
  if (plan.kind !== 'recover') throw new Error(`the plan is ${plan.kind}`)
  const steps = plan.steps.map((step) => {
    switch (step.step) {
      case 'replay-log':
        return `replay-log ${step.after + 1n}..${step.to}`
      case 'capture-wal':
      case 'fold-wal':
        return `${step.step} ${step.transactions}`
      default:
        return step.step
    }
  })
  expect(steps).toEqual(expected)
})

test.each<[string, Partial<RecoveryFacts>]>([
  ['no file and no log', { file: undefined }],
  ['a file that is not a database', { file: { ...FILE, sizeBytes: 99, valid: false } }],
  ['a dropped database', { log: log(4, 7, 1, 0), file: undefined }],
  [
    'an empty log',
    { log: { synced: at(0), first: undefined, last: at(0), lastCommit: undefined, torn: false }, file: undefined },
  ],
])('%s: nothing to do', (_situation, fields) => {
  expect(planRecovery(facts(fields)).kind).toBe('nothing')
})

test('a missing file that the log cannot restore is not served, and the reason is given', () => {
  const plan = planRecovery(facts({ log: log(7, 9, 5), file: undefined }))
  expect(plan).toMatchObject({ kind: 'refuse', reason: expect.stringMatching(/does not reach back/) as unknown })
})

test('a log of which only the position of a drop remains is that of no database, and a file beside it is imported', () => {
  const last = { txid: toTXID(9), checksum: EMPTY_CHECKSUM }
  const dropped = { ...log(9, 9), synced: last, last, first: undefined, lastCommit: undefined }
  expect(planRecovery(facts({ log: dropped, file: undefined }))).toEqual({ kind: 'nothing' })
  expect(planRecovery(facts({ log: dropped }))).toMatchObject({ kind: 'recover', steps: [{ step: 'import' }, {}] })
})
