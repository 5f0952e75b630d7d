import type { Answer } from './application.ts'
import type { Facts } from './facts.ts'
import type { Step } from './program.ts'

/** What may differ between the mount and a plain directory: docs/limits.md has each. Everything else is a finding. */

export interface Situation {
  readonly step: Step
  readonly ours: Answer
  readonly theirs: Answer
  readonly facts: Facts
  /** Of the connection before the step and after it, as it says itself in the plain directory. */
  readonly journalModes: readonly [string, string]
  /** How many bytes the WAL has on the mount. */
  readonly walBytes: number
}

export interface Difference {
  readonly name: string
  readonly applies: (situation: Situation) => boolean
  /** The mount rejected what the plain directory took: the program ends, with what was committed before. */
  readonly ends: boolean
}

const EPERM = 1
const ENOENT = 2
const EBUSY = 16
const IOERR = 10
const CORRUPT = 11
const IOERR_WRITE = 778
const IOERR_FSTAT = 1802
const IOERR_DELETE_NOENT = 5898
const CANTOPEN = 14
const BUSY_SNAPSHOT = 517
/** From this length on only ltxd checkpoints. The shortest frame is counted, because the page size may change. */
const GUARDED_BYTES = 900 * (512 + 24)

/** SQLite makes a mapped file as long as the hint says, even if it was longer. */
export const CUT_BY_HINT: Difference = {
  name: 'SIZE_HINT cuts committed pages off a mapped file, which is rejected, or mended from the WAL',
  applies: () => false,
  ends: true,
}

const DIFFERENCES: readonly Difference[] = [
  { name: 'ltxd decides when a WAL begins anew', applies: isOtherRestart, ends: false },
  {
    name: 'a checkpoint of a long WAL is busy',
    applies: ({ step, ours, facts, walBytes }) =>
      isCheckpoint(step) && checkpointed(ours)?.log === -1 && walBytes >= GUARDED_BYTES && facts.openConnections > 1,
    ends: false,
  },
  {
    name: 'a WAL that began anew makes a snapshot too old to write, which on the mount it did not',
    applies: ({ facts, ours, theirs }) =>
      facts.asksForRestart && theirs.extended === BUSY_SNAPSHOT && ours.extended !== BUSY_SNAPSHOT,
    ends: true,
  },
  {
    // A removed database's side files go with the next one of the name; ltxd's connection keeps a WAL a little longer.
    name: 'a side file stays longer',
    applies: ({ step: { words }, ours, theirs }) =>
      words[0] === 'rm' && /-(?:wal|shm|journal)$/.test(words[1] ?? '') && ours.code === 0 && theirs.code === ENOENT,
    ends: false,
  },
  {
    name: 'recovery has removed a side file, or the process died before it was one',
    applies: ({ step: { words }, facts, ours, theirs }) =>
      words[0] === 'rm' && /-(?:wal|shm|journal)$/.test(words[1] ?? '') && facts.hasDied && isGone(ours, theirs),
    ends: false,
  },
  {
    // SQLite asks the name of a database for the mode of its journal. Without a journal it does not ask.
    name: 'recovery has removed the journal beside which a database was renamed',
    applies: ({ step, facts, ours, theirs }) =>
      facts.hasDied && facts.isMoved(step) && ours.code === 0 && theirs.extended === IOERR_FSTAT,
    ends: true,
  },
  {
    // In the plain directory the fuzzer removes it (file-steps.ts).
    name: 'a journal that went with its database is removed by the commit without an error',
    applies: ({ step, facts, ours, theirs }) =>
      facts.isMoved(step) && ours.code === 0 && theirs.extended === IOERR_DELETE_NOENT,
    ends: true,
  },
  {
    name: 'leaving WAL mode for no journal is rejected',
    applies: ({ step: { words }, ours }) =>
      /journal_mode = (?:MEMORY|OFF)/.test(words[2] ?? '') && ours.extended === IOERR_WRITE,
    ends: true,
  },
  {
    name: 'a write without a journal is rejected',
    applies: ({ journalModes, ours }) =>
      journalModes.some((mode) => mode === 'memory' || mode === 'off') && ours.code === IOERR,
    ends: true,
  },
  {
    name: 'a name that no database can have is rejected',
    applies: ({ facts, ours }) => facts.hasUnfitName && (ours.extended === IOERR_WRITE || ours.code === CANTOPEN),
    ends: true,
  },
  {
    name: 'a write to a database that was renamed while it was open is rejected',
    applies: ({ facts, step, ours }) => facts.isMoved(step) && ours.code === IOERR,
    ends: true,
  },
  {
    name: CUT_BY_HINT.name,
    applies: ({ step: { words }, ours, facts }) =>
      words[0] === 'control' && words[2] === 'hint' && ours.code === IOERR && facts.asksForMapping,
    ends: true,
  },
  {
    name: 'what another program wrote is seen through a mapping for a moment, although it was rejected',
    applies: ({ ours, facts }) => ours.code === CORRUPT && facts.asksForMapping && facts.hasRejectedWrite,
    ends: true,
  },
  {
    name: 'SIZE_HINT writes before there is a journal',
    applies: ({ step: { words }, ours, journalModes }) =>
      words[0] === 'control' && words[2] === 'hint' && ours.code === IOERR && journalModes[1] !== 'wal',
    ends: false,
  },
]

export function explain(situation: Situation): Difference | undefined {
  return DIFFERENCES.find(({ applies }) => applies(situation))
}

/** The plain directory has no meaning any more: a WAL went away under a connection, or lies beside another file. */
export const LOST_WAL: Difference = {
  name: 'the WAL of a database is taken away from it',
  applies: ({ facts }) => facts.hasLostWal,
  ends: true,
}

/** The mount has what was acknowledged, and SQLite by itself has not. */
export const LOST_BY_SQLITE: Difference = {
  name: 'an older SQLite loses transactions after ROLLBACK TO when its process dies, or keeps the WAL as it closes',
  applies: () => false,
  ends: true,
}

/** A lock that no commit releases, and no fsync: nothing tells that a transaction has ended. */
export const NEVER_CAPTURED: Difference = {
  name: 'a new database without a journal, under a lock that does not end, is captured when it is closed',
  applies: ({ facts }) => facts.neverUnlocks && facts.asksForNoJournal,
  ends: true,
}

export const DIED_HALF_WAY: Difference = {
  name: 'an application died half-way, as SQLite has it over two databases',
  applies: () => false,
  ends: true,
}

/** A file operation that the mount rejects, and that has changed nothing. */
interface FileRejection {
  readonly name: string
  readonly verbs: readonly string[]
  readonly errno: number
  readonly applies: (facts: Facts, from: string, to: string) => boolean
}

const FILE_REJECTIONS: readonly FileRejection[] = [
  { name: 'a hard link', verbs: ['ln'], errno: EPERM, applies: () => true },
  {
    name: 'bytes are written into a database by another program',
    verbs: ['put', 'truncate'],
    errno: EPERM,
    applies: (facts, name) => facts.isDatabase(name),
  },
  {
    name: 'a database is written over without O_TRUNC',
    verbs: ['cp-inplace'],
    errno: EPERM,
    applies: (facts, _, to) => facts.isDatabase(to),
  },
  {
    name: 'a database is replaced in place while it is open, or has a WAL or a hot journal',
    verbs: ['cp'],
    errno: EPERM,
    applies: (facts, _, to) => facts.isDatabase(to) && facts.isInUse(to),
  },
  {
    name: 'a database is renamed within a transaction',
    verbs: ['mv'],
    errno: EBUSY,
    applies: (facts, from) => facts.hasHotJournal(from),
  },
  {
    name: 'a database would get a name that no database can have',
    verbs: ['cp', 'cp-inplace', 'mv', 'replace', 'put'],
    errno: EPERM,
    applies: (facts) => facts.hasUnfitName,
  },
]

/** Why the mount may have rejected a file operation. */
export function explainRejection({ words }: Step, { code }: Answer, facts: Facts): string | undefined {
  const [verb = '', from = '', to = ''] = words
  return FILE_REJECTIONS.find((it) => it.verbs.includes(verb) && it.errno === code && it.applies(facts, from, to))?.name
}

export function isCheckpoint({ words }: Step): boolean {
  return /^PRAGMA wal_checkpoint/.test(words[2] ?? '')
}

/** The row of wal_checkpoint. */
export function checkpointed({ code, text }: Answer): { busy: boolean; log: number; left: number } | undefined {
  const [, busy, log, copied] = /^(\d)\|(-?\d+)\|(-?\d+)\n/.exec(text) ?? []
  if (code !== 0 || busy === undefined) return undefined
  return { busy: busy === '1', log: Number(log), left: Number(log) - Number(copied) }
}

function isGone(ours: Answer, theirs: Answer): boolean {
  return ours.code === ENOENT && theirs.code === 0
}

/** The WAL may be longer or shorter, but as many frames are not copied yet; only to begin anew may it be busy. */
function isOtherRestart({ step, ours, theirs }: Situation): boolean {
  const [a, b] = [checkpointed(ours), checkpointed(theirs)]
  if (!isCheckpoint(step) || a === undefined || b === undefined) return false
  if (a.log < 0 !== b.log < 0 || a.left !== b.left) return false
  return a.busy === b.busy || (a.left === 0 && /RESTART|TRUNCATE/.test(step.words[2] ?? ''))
}
