/**
 * What is not the same on the mount as on a plain directory, each with its reason. A run fails on a difference that is
 * not in this list, and on one in it that no longer occurs.
 */
import type { NodeSettings } from './mount-side.ts'

export interface Expectation {
  /** The words of docs/limits.md, where a user finds it. */
  readonly reason: string
  /** The names of checks, in which `*` stands for any characters; or `(end)`, or `(log)` and a message. */
  readonly checks: readonly string[]
  /** The difference depends on timing, and may be missing from a run. */
  readonly sometimes?: true
  /** Only a node with these settings differs. */
  readonly only?: Partial<NodeSettings>
}

/** What a node with these settings does otherwise than a plain directory. */
export function expectationsFor(script: string, settings: NodeSettings): readonly Expectation[] {
  return (EXPECTED[script] ?? []).filter(({ only = {} }) =>
    Object.entries(only).every(([key, value]) => settings[key as keyof NodeSettings] === value),
  )
}

const RAW = 'documented: the test writes to the database file, its WAL or its journal itself, without SQLite'
const UNJOURNALED = 'documented: a transaction without a journal (modes OFF and MEMORY, atomic writes)'
const HEADER = 'documented: the transaction would leave a file that is no SQLite database'
const BUSY =
  'documented: among several connections `wal_checkpoint` may be busy, and ltxd decides when the WAL begins anew'
const LOCKED = "documented: ltxd's own connection holds locks of the database, too"
const QUIET = 'documented: ltxd copies a quiet database into its file within some two seconds'
const RENAME = 'documented: a renamed database is written after it is opened anew; a journal is not renamed alone'
const SHORT = 'documented: `8_3_names` shortens the names of journals and WALs'
const CHUNKS = 'documented: the multiplex VFS keeps a database in several files'
const DIRECTORY = 'documented: a directory in the place of a journal'
const RECREATED = 'documented: the file is opened with O_TRUNC while it is a database'

/** What a file opened with O_TRUNC leaves in the log if it does not become a database. */
const DISCARDED = '(log) a replacement of the database was discarded*'

const because =
  (reason: string) =>
  (...checks: string[]): Expectation => ({ reason, checks })

const raw = because(RAW)
const unjournaled = because(UNJOURNALED)
const busy = because(BUSY)
const locked = because(LOCKED)
const recreated = because(RECREATED)
const sometimes = (expectation: Expectation): Expectation => ({ ...expectation, sometimes: true })
/** It depends on how fast the test goes on. */
const quiet = (...checks: string[]) => sometimes(because(QUIET)(...checks))
const native = (expectation: Expectation): Expectation => ({ ...expectation, only: { driver: 'fuse-native' } })

/**
 * The test takes all locks of the wal-index. While two connections are open, the local client has one of them: as soon
 * as it has seen both, which takes it some milliseconds.
 */
const SUPERLOCK = [
  sometimes(locked(...[2, 3, 4, 5, 6].map((n) => `superlock-3.${n}`))),
  sometimes(locked(...[1, 2, 3, 4, 5, 6].map((n) => `superlock-4.${n}`))),
  sometimes(locked('superlock-5.1.3', 'superlock-5.1.12', 'superlock-5.2.3', 'superlock-5.2.12')),
  sometimes(locked('superlock-5.2.15', 'superlock-5.2.16')),
]

/** By script. */
const EXPECTED: Readonly<Record<string, readonly Expectation[]>> = {
  '8_3_names': [because(SHORT)('(end)', '8_3_names-*')],
  backup2: [recreated('backup2-7', 'backup2-11'), recreated('backup2-12', DISCARDED)],
  // A step of the backup that finds a lock ends before the error that the test injects.
  backup_malloc: [sometimes(locked('3-oom-*'))],
  bigfile: [raw('bigfile-*')],
  bigfile2: [raw('bigfile2-*')],
  capi3: [raw('capi3-7.2')],
  capi3c: [raw('capi3c-7.2')],
  corrupt: [raw('(end)')],
  corrupt2: [raw('(end)', 'corrupt2-1.*')],
  corrupt3: [raw('corrupt3-1.*')],
  corrupt4: [raw('(end)', 'corrupt4-1.4')],
  corrupt6: [raw('corrupt6-1.*')],
  corrupt7: [raw('corrupt7-2.*')],
  corrupt8: [raw('corrupt8-2.*')],
  corrupt9: [raw('corrupt9-*')],
  corruptA: [raw('corruptA-2.*')],
  corruptB: [raw('corruptB-1.*', 'corruptB-2.1.2', 'corruptB-3.1.2')],
  corruptC: [raw('corruptC-*')],
  corruptD: [raw('corruptD-*')],
  corruptE: [raw('corruptE-*')],
  corruptF: [raw('corruptF-*')],
  corruptG: [raw('corruptG-1.*', 'corruptG-2.1')],
  corruptH: [raw('corruptH-1.3', 'corruptH-2.3', 'corruptH-3.3')],
  corruptI: [raw('corruptI-1.3', 'corruptI-2.*', 'corruptI-3.3', 'corruptI-5.3', 'corruptI-8.*')],
  corruptJ: [raw('corruptJ-1.2', 'corruptJ-2.2b')],
  corruptK: [raw('corruptK-1.2', 'corruptK-2.*')],
  corruptL: [raw('corruptL-17.*')],
  delete_db: [because(CHUNKS)('delete_db-1.3.0', 'delete_db-1.4.0'), because(SHORT)('delete_db-*')],
  crashM: [because(SHORT)('crashM-1.0')],
  descidx2: [raw('descidx2-2.*')],
  e_walauto: [busy('e_walauto-1.*.12.5')],
  e_walckpt: [sometimes(busy('e_walckpt-6.5'))],
  exclusive2: [raw('exclusive2-1.*', 'exclusive2-2.*')],
  // The checkpoint meets ltxd's of a database that was quiet for a second.
  fallocate: [sometimes(busy('fallocate-2.8'))],
  filefmt: [raw('filefmt-1.*')],
  incrblob3: [raw('incrblob3-7.2')],
  incrcorrupt: [raw('incrcorrupt-*')],
  // The connection closes and opens the database while ltxd copies, and so finds the former WAL.
  incrvacuum2: [quiet('incrvacuum2-4.3')],
  io: [unjournaled('io-2.*', 'io-6.2.2.2')],
  jrnlmode: [unjournaled('jrnlmode-3.2', 'jrnlmode-4.*', 'jrnlmode-6.7')],
  jrnlmode3: [unjournaled('jrnlmode3-3.*.6')],
  misc7: [because(DIRECTORY)('(log) *')],
  mmap1: [native(sometimes(busy('mmap1-2.4')))],
  multiplex2: [because(CHUNKS)('(end)')],
  multiplex3: [because(CHUNKS)('(end)', 'multiplex3-1*', 'multiplex3-2*')],
  multiplex4: [because(CHUNKS)('multiplex4-1.0', 'multiplex4-1.10')],
  // Two of its processes use the modes OFF and MEMORY, and the others wait for them.
  'mptest/config01-delete': [unjournaled('(end)')],
  'mptest/config01-persist': [unjournaled('(end)')],
  'mptest/config01-truncate': [unjournaled('(end)')],
  pager1: [
    unjournaled('pager1-5.*'),
    raw('pager1-18.*'),
    because(RENAME)('pager1-33.*'),
    because('documented: SQLITE_FCNTL_SIZE_HINT before the journal has its header')('pager1-32.1'),
  ],
  pager2: [unjournaled('pager2-2.2')],
  pager4: [because(RENAME)('(end)', 'pager4-1.6')],
  // The errors of each loop end with its operations, of which there are others after the raw write; the random rows of
  // later loops are others, too.
  pagerfault: [raw('pagerfault-21-*'), sometimes(raw('pagerfault-35-*', 'pagerfault-36-*'))],
  pragma: [raw('pragma-1.15.4', 'pragma-3.*', 'pragma-22.*', 'pragma-24.*')],
  // After an error that the test injects it removes the journal of a file that is shorter than its header says.
  rbufault: [because(HEADER)('(end)')],
  // RBU takes SQLite's EXCLUSIVE lock to move its WAL, and reports busy: the next try continues.
  rbumulti: [sometimes(locked('rbumulti-1.3.5', 'rbumulti-1.3.6.1', 'rbumulti-1.3.7.1'))],
  rburesume: [sometimes(locked('rburesume-1.2.*.1'))],
  rbuvacuum: [sometimes(locked('rbuvacuum-step=1-1.6.2.1', 'rbuvacuum-step=1-1.6.5.1'))],
  rdonly: [raw('rdonly-1.*')],
  recovercorrupt: [because(HEADER)('(end)')],
  resetdb: [because(HEADER)('resetdb-200', 'resetdb-201', 'resetdb-320', 'resetdb-330', 'resetdb-710')],
  savepoint: [unjournaled('savepoint-13.*')],
  // It opens two connections and looks for locks at once: often before the local client has seen both.
  shmlock: [sometimes(locked('(end)', 'shmlock-1.3.*'))],
  // One transaction that takes longer than a second: meanwhile the one before it is copied into the file.
  snapshot_fault: [quiet('snapshot_fault-4.1.1')],
  snapshot2: [sometimes(busy('snapshot2-5.4'))],
  snapshot3: [sometimes(busy('snapshot3-1.7', 'snapshot3-1.8'))],
  // The WAL does not begin anew after the checkpoint, so an old snapshot is still there.
  snapshot_up: [sometimes(busy('snapshot_up-1.13', 'snapshot_up-1.14'))],
  superlock: [recreated('(end)'), ...SUPERLOCK],
  syscall: [recreated('syscall-7.2', 'syscall-7.3'), recreated(DISCARDED)],
  'threadtest3/stress2': [sometimes(locked('no errors'))],
  wal: [
    sometimes(busy('wal-8.3', 'wal-10.*.29', 'wal-10.*.30', 'wal-10.*.36', 'wal-10.*.37')),
    sometimes(busy('wal-16.3.4', 'wal-16.3.6', 'wal-26.2.*')),
    quiet('wal-9.1', 'wal-12.1', 'wal-16.7.3', 'wal-16.7.6'),
    raw('wal-18.2.*'),
  ],
  wal2: [raw('(log) I11: *')],
  wal3: [sometimes(busy('wal3-9.4'))],
  wal5: [busy('wal5-*-1.*', 'wal5-*-2.4.*', 'wal5-*-5.*')],
  wal6: [raw('wal6-4.4.2')],
  // The client may copy while the test asks for a checkpoint.
  wal9: [quiet('wal9-1.3'), sometimes(busy('wal9-1.6'))],
  walbig: [raw('walbig-1.*')],
  walcksum: [busy('walcksum-1.*.8.*'), raw('(log) I11: *')],
  walfault: [raw('(log) I11: *')],
  walfault2: [raw('(log) I11: *')],
  waloverwrite: [quiet('waloverwrite-1.2.4')],
  walro: [sometimes(busy('walro-1.4.4.1'))],
  walro2: [
    // A checkpoint(TRUNCATE) without a busy timeout, beside a second connection, and the sizes that follow from it.
    sometimes(busy('walro2-*-1024.3.2.2', 'walro2-*-1024.3.3.0', 'walro2-*-1024.3.3.2')),
    // The last connection closes while ltxd copies, which then removes the WAL; the test has cut it off before.
    quiet('walro2-*.3.1.0', 'walro2-*.3.1.1', 'walro2-*.3.2.1'),
    // The test counts on a checkpoint that has something to copy.
    quiet('walro2-*.5.2'),
  ],
  // A busy timeout does not wait for the lock of a checkpoint, and by then the database is quiet.
  walsetlk: [sometimes(busy('walsetlk-1.7', 'walsetlk-1.8'))],
  walslow: [raw('walslow-3.3.*', 'walslow-4.1.*')],
  walthread: [raw('(end)')],
}
