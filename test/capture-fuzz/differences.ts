import { databaseNameProblem } from '../../src/log/database-name.ts'
import type { Answer } from './application.ts'
import type { Finding } from './finding.ts'
import type { Step } from './program.ts'

/** What may differ between the mount and a plain directory. Everything else is a finding. */

/** What a program has done that a difference may come from. */
export interface Facts {
  readonly names: readonly string[]
  /** A journal mode without a journal was asked for. */
  unjournaled: boolean
  /** A database was removed, renamed, replaced or written to beside SQLite. */
  displaced: boolean
  /** A file control of sizes was used. */
  sized: boolean
}

export interface Situation {
  readonly step: Step
  readonly ours: Answer
  readonly theirs: Answer
  readonly facts: Facts
}

export interface OpenFinding {
  readonly name: string
  readonly reason: string
  readonly applies: (finding: Finding, facts: Facts) => boolean
}

export interface Difference {
  readonly name: string
  /** Where it is documented; or `open`: it is to go. */
  readonly reason: string
  readonly applies: (situation: Situation) => boolean
  /** The mount rejected what the plain directory took: the program ends, with what was committed before. */
  readonly ends: boolean
}

const IOERR = 10
const BUSY_SNAPSHOT = 517

const DIFFERENCES: readonly Difference[] = [
  {
    name: 'a checkpoint that is busy',
    reason: 'open: ltxd holds the checkpoint lock of a database that several connections have open',
    applies: ({ step: { words } }) => /^PRAGMA wal_checkpoint/.test(words[2] ?? ''),
    ends: false,
  },
  {
    name: 'a snapshot that is too old to write',
    reason: 'SQLite: BUSY_SNAPSHOT depends on when a WAL began anew, which ltxd decides',
    applies: ({ ours, theirs }) => ours.extended === BUSY_SNAPSHOT || theirs.extended === BUSY_SNAPSHOT,
    ends: true,
  },
  {
    name: 'the WAL of a database that ltxd checkpoints outlives its last connection',
    reason: 'docs/decisions/020-checkpoints.md',
    applies: ({ step: { words } }) => words[0] === 'rm' && /-(?:wal|shm)$/.test(words[1] ?? ''),
    ends: false,
  },
  {
    name: 'a write without a journal is rejected',
    reason: 'docs/limits.md: journal modes OFF and MEMORY',
    applies: ({ facts, ours }) => facts.unjournaled && failed(ours),
    ends: true,
  },
  {
    name: 'a name that no database can have is rejected',
    reason: 'docs/limits.md: names',
    applies: ({ facts, ours }) => facts.names.some((name) => databaseNameProblem(name) !== undefined) && failed(ours),
    ends: true,
  },
  {
    name: 'files are changed beside SQLite',
    reason: 'docs/limits.md: a write that cannot be captured is rejected, and so is what follows through the old file',
    applies: ({ facts, ours }) => facts.displaced && failed(ours),
    ends: true,
  },
  {
    name: 'a hard link',
    reason: 'docs/limits.md: a database has one name',
    applies: ({ step: { words }, ours }) => words[0] === 'ln' && failed(ours),
    ends: true,
  },
  {
    name: 'SIZE_HINT writes beyond the end before there is a journal',
    reason: 'open: an unjournaled write',
    applies: ({ facts, ours }) => facts.sized && ours.code === IOERR,
    ends: true,
  },
]

/** Bytes that are written beside SQLite damage a plain file. On the mount all of them count, or none. */
export const RAW_WRITE: Difference = {
  name: 'bytes are written beside SQLite',
  reason: 'docs/limits.md: such a write is taken whole, or rejected',
  applies: ({ step }) => isRaw(step),
  ends: true,
}

export function isRaw({ words }: Step): boolean {
  return ['put', 'truncate', 'cp-inplace'].includes(words[0] ?? '')
}

/** Findings that are known and are to be mended. The goal is an empty table. */
const OPEN_FINDINGS: readonly OpenFinding[] = [
  {
    name: 'a new database is made without a journal',
    reason: 'its pages are captured when another connection comes, or the last one closes',
    applies: ({ kind }, { unjournaled }) => kind === 'not in the log' && unjournaled,
  },
]

export function isOpen(finding: Finding, facts: Facts): OpenFinding | undefined {
  return OPEN_FINDINGS.find(({ applies }) => applies(finding, facts))
}

export function explain(situation: Situation): Difference | undefined {
  return DIFFERENCES.find(({ applies }) => applies(situation))
}

function failed({ code }: Answer): boolean {
  return code !== 0
}

/** Notes what a step may lead to. `isOpen`: a connection of the program has a file open. */
export function note(facts: Facts, { words }: Step): void {
  const [name, , text] = words
  if (name === 'sql' && /journal_mode = (MEMORY|OFF)/.test(text ?? '')) facts.unjournaled = true
  if (['rm', 'mv', 'cp', 'cp-inplace', 'replace', 'truncate', 'put', 'ln'].includes(name ?? '')) facts.displaced = true
  if (name === 'control' && (text === 'hint' || text === 'chunk')) facts.sized = true
}
