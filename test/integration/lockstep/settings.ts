import type { Random } from '../../harness/random.ts'
import { AUTO_VACUUM, JOURNAL_MODES } from './matrix.ts'

/** A PRAGMA or a temporary table, which must cause no difference between the mount and a plain directory. */
export function randomSetting(random: Random): string {
  const pick = <T>(values: readonly T[]): T => values[random.integer(0, values.length - 1)] as T
  const temporary = pick([
    'CREATE TEMP TABLE IF NOT EXISTS s (a, b)',
    'INSERT INTO s SELECT k, v FROM t',
    'SELECT count(*) FROM t, (SELECT k AS x FROM t ORDER BY v LIMIT 50)',
  ])
  return pick([
    `PRAGMA wal_autocheckpoint = ${pick([-1, 0, 1, 3, 20, 1000])}`,
    `PRAGMA journal_size_limit = ${pick([-1, 0, 1, 5000, 100_000])}`,
    `PRAGMA mmap_size = ${pick([0, 4096, 1 << 26])}`,
    `PRAGMA temp_store = ${random.integer(0, 2)}`,
    `PRAGMA auto_vacuum = ${pick(AUTO_VACUUM)}; VACUUM`,
    `PRAGMA cache_spill = ${random.integer(0, 1)}`,
    `PRAGMA journal_mode = ${pick(JOURNAL_MODES)}`,
    `PRAGMA wal_checkpoint(${pick(['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'])})`,
    `PRAGMA incremental_vacuum(${random.integer(1, 50)})`,
    temporary,
    temporary,
  ])
}
