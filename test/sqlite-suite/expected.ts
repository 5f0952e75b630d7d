/**
 * What is not the same on the mount as on a plain directory, each with its reason. A run fails on a difference that is
 * not in this list, and on one in it that no longer occurs.
 */

export interface Expectation {
  /** The words of docs/limits.md, where a user finds it. */
  readonly reason: string
  /** The names of checks, in which `*` stands for any characters; or `(end)`, or `(log)` and a message. */
  readonly checks: readonly string[]
  /** The difference depends on timing, and may be missing from a run. */
  readonly sometimes?: true
}

const RAW = 'documented: the test writes to the database file, its WAL or its journal itself, without SQLite'
const UNJOURNALED = 'documented: journal modes OFF and MEMORY'
const HEADER = 'documented: the transaction would leave a file that is no SQLite database'
const BUSY =
  'documented: among several connections `wal_checkpoint` may be busy, and ltxd decides when the WAL begins anew'
const LOCKED = "documented: ltxd's own connection holds locks of the database, too"
const QUIET = 'documented: ltxd copies a quiet database into its file within some two seconds'
const RENAME = 'documented: a renamed database is written after it is opened anew; a journal is not renamed alone'
const RECREATED = 'documented: the file is opened with O_TRUNC while it is a database'

/** What a file opened with O_TRUNC leaves in the log if it does not become a database. */
const DISCARDED = '(log) a replacement of the database was discarded*'

const raw = (...checks: string[]): Expectation => ({ reason: RAW, checks })
const unjournaled = (...checks: string[]): Expectation => ({ reason: UNJOURNALED, checks })
const busy = (...checks: string[]): Expectation => ({ reason: BUSY, checks, sometimes: true })
const recreated = (...checks: string[]): Expectation => ({ reason: RECREATED, checks, sometimes: true })

/** By script. */
export const EXPECTED: Readonly<Record<string, readonly Expectation[]>> = {
  backup2: [recreated('backup2-7', 'backup2-11', 'backup2-12', DISCARDED)],
  busy2: [busy('busy2-*')],
  capi3: [raw('capi3-7.2')],
  capi3c: [raw('capi3c-7.2')],
  corrupt: [raw('(end)')],
  corrupt2: [raw('(end)', 'corrupt2-1.*')],
  corrupt3: [raw('corrupt3-1.*')],
  corrupt4: [raw('(end)', 'corrupt4-1.4')],
  corrupt6: [raw('corrupt6-1.*')],
  corrupt7: [raw('corrupt7-2.*')],
  corruptA: [raw('corruptA-2.*')],
  corruptC: [raw('corruptC-*')],
  descidx2: [raw('descidx2-2.*')],
  e_walauto: [busy('e_walauto-*')],
  e_walckpt: [busy('e_walckpt-*')],
  exclusive2: [raw('exclusive2-1.*', 'exclusive2-2.*')],
  filefmt: [raw('filefmt-1.*')],
  incrblob3: [raw('incrblob3-7.2')],
  incrcorrupt: [raw('incrcorrupt-*')],
  jrnlmode: [unjournaled('jrnlmode-3.2', 'jrnlmode-4.*', 'jrnlmode-6.7')],
  jrnlmode3: [unjournaled('jrnlmode3-3.*.6')],
  pager1: [
    unjournaled('pager1-5.*'),
    raw('pager1-18.*'),
    { reason: RENAME, checks: ['pager1-33.*'] },
    { reason: 'documented: SQLITE_FCNTL_SIZE_HINT before the journal has its header', checks: ['pager1-32.1'] },
  ],
  pager2: [unjournaled('pager2-2.2')],
  pager4: [{ reason: RENAME, checks: ['(end)', 'pager4-*'], sometimes: true }],
  pragma: [raw('pragma-1.15.4', 'pragma-3.*', 'pragma-22.*', 'pragma-24.*')],
  rdonly: [raw('rdonly-1.*')],
  resetdb: [{ reason: HEADER, checks: ['resetdb-200', 'resetdb-201', 'resetdb-320', 'resetdb-330', 'resetdb-710'] }],
  savepoint: [unjournaled('savepoint-13.*')],
  shmlock: [{ reason: LOCKED, checks: ['(end)', 'shmlock-*'], sometimes: true }],
  superlock: [recreated('(end)', DISCARDED), busy('superlock-*')],
  syscall: [recreated('(end)', 'syscall-7.2', 'syscall-7.3', DISCARDED)],
  wal: [busy('wal-10.*', 'wal-15.4.*'), raw('wal-18.2.*')],
  wal2: [raw('(log) I11: *')],
  wal3: [busy('wal3-*')],
  wal5: [busy('wal5-*')],
  wal6: [busy('wal6-4.*'), { ...raw('(log) I11: *'), sometimes: true }],
  walro: [busy('walro-1.4.4.1')],
  wal9: [busy('wal9-1.6'), { reason: QUIET, checks: ['wal9-1.*'], sometimes: true }],
}
