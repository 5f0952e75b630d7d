import { ANY_PAGE_SIZE } from '../../harness/workload.ts'

/** The settings of a database. The test tries all their combinations. */

export const JOURNAL_MODES = ['wal', 'delete', 'truncate', 'persist'] as const
export const SYNCHRONOUS = ['off', 'normal', 'full', 'extra'] as const
export const AUTO_VACUUM = ['none', 'full', 'incremental'] as const
/** `exclusive` is set before the journal mode, so that a WAL has no `-shm`; `exclusive-later` after it. */
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
 * Coprime with COMBINATIONS, so that COMBINATIONS consecutive seeds cover each combination once, with different
 * neighbours.
 */
const STRIDE = 487

/** The first combination of a seed. */
export function combinationOf(seed: number): Combination {
  return ALL[(seed * STRIDE) % ALL.length] as Combination
}
