import type { Fixture } from './fixture.ts'
import { parseErrorCount, parseTestfixture, type Results } from './output.ts'

/** A program of SQLite's to run on the plain directory and on the mount. */
export interface Script {
  readonly name: string
  readonly argv: readonly string[]
  readonly parse: (output: string) => Results
}

/**
 * The test scripts that touch files, locks, journals, the WAL, vacuum, corruption and crashes, as patterns of whole
 * names. The others test SQL, which never reaches a file system in another way.
 */
const FAMILIES = `
  8_3_names alterfault atomic2? attach\\d* attachmalloc autovacuum.* backup.* bigfile2? bigmmap bigrow btree.*
  busy2? cacheflush cachespill capi3[a-e]? cffault check(fault)? chunksize close corrupt.* altercorrupt crash.*
  dataversion1 dbdata dbpage.* dbfuzz001 delete_db descidx2 diskfull e_uri e_vacuum e_wal.* e_blob.* enc4?
  exclusive2? external_reader fallocate filectrl filefmt format4 gcfault incrblob.* incrcorrupt incrvacuum.* init io
  ioerr.* journal\\d jrnlmode\\d? lock\\d? manydb memdb1? memjournal2? memsubsys.* misc\\d misuse
  mjournal mmap.* multiplex\\d? mutex\\d nockpt nolock notify\\d openv2 oserror pager.* pagesize pcache2? pragma.*
  ptrchng queryonly quota.* rdonly recover.* rbu.+ resetdb rollback.* rowallock savepoint.* schema\\d? securedel2?
  server1 shared.* shmlock shortread1 shrink sidedelete snapshot.* softheap1 stat(fault)? stmt subjournal superlock
  symlink2? sync2? syscall sysfault tempdb2? tempfault temptable\\d? thread.* trans[23]? trigger4 unixexcl uri2?
  vacuum.* wal.* writecrash zeroblob.* zerodamage zipfile.* shell[1-8]
  tkt-(2d1a5c67d|313723c356|5d863f876e|5ee23731f|94c04eaadb|9f2eb3abac|b1d3a2e531|f3e5abed55|fc62af4523)
  tkt(1667|2285|2332|2409|2565|2643|2686|2820|2854|2920|3080|3121|3424|3457|35xx|3718|3793|3838|4018)
`

/** Scripts of these families that run only when they are named. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  corruptC: 'minutes, and 100,000 checks: it damages the file with a raw write, which is rejected',
  backup_ioerr: 'minutes on a plain directory: 50,000 checks of errors that the test itself injects',
}

const MPTEST_MODES = ['wal', 'delete', 'truncate', 'persist'] as const

/** All scripts of a whole run, in the order in which they start. */
export function wholeSuite(fixture: Fixture): Script[] {
  const family = new RegExp(`^(${FAMILIES.trim().split(/\s+/).join('|')})$`)
  return everyScript(fixture).filter(
    ({ name }) => LEFT_OUT[name] === undefined && (family.test(name) || name.includes('/')),
  )
}

/** Every script there is, in the families or not. */
export function everyScript(fixture: Fixture): Script[] {
  return [...threadTests(fixture), ...multiProcessTests(fixture), ...testfixtureScripts(fixture)]
}

function testfixtureScripts(fixture: Fixture): Script[] {
  return [...fixture.scripts()].map(([name, file]) => ({
    name,
    argv: [fixture.path('testfixture'), file, '--maxerror=1000000'],
    parse: parseTestfixture,
  }))
}

/** Several processes on one database. */
function multiProcessTests(fixture: Fixture): Script[] {
  const scripts = ['config01', 'config02', 'crash01', 'multiwrite01']
  return scripts.flatMap((script) =>
    MPTEST_MODES.map((mode) => ({
      name: `mptest/${script}-${mode}`,
      argv: [
        fixture.path('mptester'),
        'mptest.db',
        fixture.path('mptest', `${script}.test`),
        ...['--journalmode', mode, '--timeout', '600000'],
      ],
      parse: parseErrorCount,
    })),
  )
}

/** Several threads on one database. */
function threadTests(fixture: Fixture): Script[] {
  const names = `walthread1 walthread2 walthread3 walthread4 walthread5 cgt_pager_1 dynamic_triggers
    checkpoint_starvation_1 checkpoint_starvation_2 create_drop_index_1 lookaside1 vacuum1 stress1 stress2 shared1`
  return names.split(/\s+/).map((name) => ({
    name: `threadtest3/${name}`,
    argv: [fixture.path('threadtest3'), name],
    parse: parseErrorCount,
  }))
}
