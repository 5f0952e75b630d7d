import { ANY_PAGE_SIZE } from '../../harness/workload.ts'

/** The ways in which a database can be used that are tried with one another. */

export const JOURNAL_MODES = ['wal', 'delete', 'truncate', 'persist'] as const
export const SYNCHRONOUS = ['off', 'normal', 'full', 'extra'] as const
export const AUTO_VACUUM = ['none', 'full', 'incremental'] as const
/** `exclusive`: from before the journal mode is chosen, so that a WAL has no `-shm`; `exclusive-later`: with one. */
export const LOCKING = ['normal', 'exclusive', 'exclusive-later'] as const

export interface Combination {
  readonly journalMode: (typeof JOURNAL_MODES)[number]
  readonly synchronous: (typeof SYNCHRONOUS)[number]
  readonly pageSize: number
  readonly autoVacuum: (typeof AUTO_VACUUM)[number]
  readonly locking: (typeof LOCKING)[number]
}

const ALL: readonly Combination[] = JOURNAL_MODES.flatMap((journalMode) =>
  SYNCHRONOUS.flatMap((synchronous) =>
    ANY_PAGE_SIZE.flatMap((pageSize) =>
      AUTO_VACUUM.flatMap((autoVacuum) =>
        LOCKING.map((locking) => ({ journalMode, synchronous, pageSize, autoVacuum, locking })),
      ),
    ),
  ),
)

export const COMBINATIONS = ALL.length

/**
 * No divisor of it is one of `COMBINATIONS`: as many seeds in a row meet each of them once, and neighbours are unlike.
 */
const STRIDE = 487

/** The combination that a seed begins with. */
export function combinationOf(seed: number): Combination {
  return ALL[(seed * STRIDE) % ALL.length] as Combination
}
