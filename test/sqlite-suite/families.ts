/**
 * Which of SQLite's test scripts run. Those are in that test what reaches a file system, as families of names. All
 * others test what SQL means (parser, expressions, queries, indexes, full-text search, JSON, geometry, sessions) or
 * SQLite's memory: they read and write through the same few operations as these, and no other.
 */

export interface Family {
  readonly what: string
  /** Patterns of whole names, separated by spaces. */
  readonly names: string
}

/** In a script that is in several, the first one counts. */
export const FAMILIES: readonly Family[] = [
  {
    what: 'crashes: a process dies, or a disk loses writes',
    names: 'crash.* walcrash\\d? writecrash rbucrash2? mptest/crash.*',
  },
  {
    what: 'errors that the test injects into reads, writes, syncs, locks or the memory for them',
    names: `(alter|btree|cf|check|dbpage|gc|incrblob|mmap|pager|pragma|rollback)fault\\d?
      (savepoint|snapshot_|stat|sys|temp|wal|walro|zeroblob)fault\\d?
      (autovacuum|incrvacuum)_ioerr2? (incrblob|shared)_err (attach|backup_)malloc diskfull io ioerr\\d? memsubsys\\d`,
  },
  { what: 'corruption', names: 'altercorrupt corrupt.* dbfuzz001 incrcorrupt' },
  {
    what: 'locks, several processes and threads, shared caches',
    names: `busy2? exclusive2? lock\\d? mptest/.* mutex\\d nolock notify\\d server1 shared.* shmlock superlock thread.* threadtest3/.*
      unixexcl`,
  },
  { what: 'the WAL', names: 'e_wal.* nockpt snapshot.* wal.*' },
  {
    what: 'rollback journals, savepoints, transactions',
    names:
      'atomic2? journal\\d jrnlmode\\d? memjournal2? mjournal pager.* rollback2? savepoint.* subjournal trans[23]? transitive1',
  },
  { what: 'vacuum', names: 'autovacuum.* e_vacuum incrvacuum.* vacuum.*' },
  { what: 'backups and blobs', names: 'backup.* e_blob.* incrblob.* zeroblob' },
  {
    what: 'database files: names, sizes, pages, mappings, headers, who else writes to them',
    names: `8_3_names attach\\d* bigfile2? bigmmap bigrow btree.* cacheflush cachespill capi3[a-e]? check chunksize close
      dataversion1 dbdata dbpage delete_db descidx2 e_uri enc4? external_reader fallocate filectrl filefmt format4 init manydb
      memdb1? misuse mmap.* openv2 oserror pagesize pcache2? pragma\\d? ptrchng queryonly rdonly resetdb rowallock schema\\d?
      securedel2? shortread1 shrink sidedelete softheap1 stat stmt symlink2? sync2? syscall tempdb2? temptable\\d? trigger4
      uri2? zerodamage`,
  },
  {
    what: 'extensions and programs that work on whole files',
    names: 'multiplex\\d? quota.* rbu.+ recover.* shell[1-8] zipfile.*',
  },
  {
    what: 'former bugs in one of these',
    names: `misc\\d tkt-(2d1a5c67d|313723c356|5d863f876e|5ee23731f|94c04eaadb|9f2eb3abac|b1d3a2e531|f3e5abed55|fc62af4523)
      tkt(1667|2285|2332|2409|2565|2643|2686|2820|2854|2920|3080|3121|3424|3457|35xx|3718|3793|3838|4018)`,
  },
]
