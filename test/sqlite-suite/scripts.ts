import { fileURLToPath } from 'node:url'
import type { Family } from './families.ts'
import { FAMILIES } from './families.ts'
import type { Fixture } from './fixture.ts'
import { parseErrorCount, parseTestfixture, type Results } from './output.ts'
import { matches } from './verdict.ts'

/** A program of SQLite's to run on the plain directory and on the mount. */
export interface Script {
  readonly name: string
  readonly argv: readonly string[]
  readonly parse: (output: string) => Results
}

const LONG = 'more than five minutes on a plain directory of the machine that made this page'
const LONG_MOUNTED = 'more than five minutes on the mount of the machine that made this page'
const UNJOURNALED_TASKS = 'two of its five processes use the journal modes OFF and MEMORY, and the others wait for them'

/** Scripts of the families that run only with --all, or when they are named, as patterns, and why. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  'mptest/config01-delete': UNJOURNALED_TASKS,
  'mptest/config01-persist': UNJOURNALED_TASKS,
  'mptest/config01-truncate': UNJOURNALED_TASKS,
  'mptest/config01-wal': 'hangs on a plain directory: the others wait for a process that found the database locked',
  corruptC: 'hours on the mount: its loops end where damage shows, and its raw writes, which damage, are rejected',
  backup_ioerr: 'minutes on a plain directory: 86,235 checks of errors that the test itself injects',
  multiplex3: LONG,
  pagerfault: LONG,
  pagerfault2: LONG,
  rbufault: LONG,
  savepoint6: LONG,
  walcrash3: LONG,
  backup_malloc: LONG_MOUNTED,
  rbucrash2: LONG_MOUNTED,
  rbufault3: LONG_MOUNTED,
  rbufault4: LONG_MOUNTED,
  recoverfault: LONG_MOUNTED,
  savepoint4: LONG_MOUNTED,
  shared_err: LONG_MOUNTED,
  walfault: LONG_MOUNTED,
}

/** Runs a script with the same random numbers in every run. */
const SEEDED = fileURLToPath(new URL('seeded.tcl', import.meta.url))

const MPTEST_MODES = ['wal', 'delete', 'truncate', 'persist'] as const

/** All scripts of a whole run, in the order in which they start. `all`: those of LEFT_OUT, too. */
export function wholeSuite(fixture: Fixture, all = false): Script[] {
  const leftOut = all ? [] : Object.keys(LEFT_OUT)
  return everyScript(fixture).filter(
    ({ name }) => familyOf(name) !== undefined && !leftOut.some((pattern) => matches(pattern, name)),
  )
}

/** What the script tests that reaches a file system; undefined if nothing. */
export function familyOf(name: string): Family | undefined {
  return FAMILIES.find(({ names }) => new RegExp(`^(${names.trim().split(/\s+/).join('|')})$`).test(name))
}

/** Every script there is, in the families or not. */
export function everyScript(fixture: Fixture): Script[] {
  return [...threadTests(fixture), ...multiProcessTests(fixture), ...testfixtureScripts(fixture)]
}

function testfixtureScripts(fixture: Fixture): Script[] {
  return [...fixture.scripts()].map(([name, file]) => ({
    name,
    argv: [fixture.path('testfixture'), SEEDED, file, '--maxerror=1000000'],
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
        ...['--journalmode', mode],
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
