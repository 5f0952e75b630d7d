/** What the suite promises, by driver: where one cannot keep a promise, the test says why, and has to fail. */

import { it as plain, type TestFunction } from 'vitest'
import { DRIVER } from '../harness/driver.ts'

/** What libfuse 2 and its package do not carry, by the name of the test. */
const FUSE_NATIVE: Readonly<Record<string, string>> = {
  'chmod, chown and utimes reach the backing file and come back': 'of two times the package passes the first twice',
  'times survive to the microsecond, before 1970 to the millisecond, one at a time, by name and by handle':
    'times are milliseconds since 1970, and only both can be set',
  'owns what it makes, with its own umask': 'the package does not tell who calls: files are the node’s user’s',
  'hands the group of a set-group-id directory on': 'the package does not tell who calls: files are the node’s user’s',
  'honours RENAME_NOREPLACE and refuses RENAME_EXCHANGE and directories over files': 'libfuse 2 has no flags of rename',
  'may have the replacement character in them': 'the package shows a name that is not UTF-8 with that character',
  'writes a large piece in as few requests as the kernel can make of it': 'libfuse 2 takes 128 KiB at once',
  'lives on while it is open after it was removed, and the name is free': 'the package shows one link, never none',
  'keeps its inode number over closing, forgetting and renaming, and listings show the same one':
    'libfuse 2 gives numbers of its own: the package passes 32 bits, and SQLite takes equal ones for one file',
  'bytes are asked for once, also after closing, and attributes once more, for the time of the access':
    'whether an opened file has changed since is asked at each open',
  'says what it is': 'libfuse 2 takes 128 KiB at once',
  'shows what the daemon has changed by itself when it has told the kernel so': 'the package cannot tell the kernel',
  'are asked for again each time, and ordinary names are not': 'names hold for a second, all of them',
  'serve tail, a reader in small pieces, and one who keeps the file open and asks again':
    'what was read is kept until the file is opened again',
  'have the time of what they tell': 'what changes by itself looks changed at each look, so that it is read anew',
}

const differences = DRIVER === 'fuse-native' ? FUSE_NATIVE : {}

function conforms(name: string, test: TestFunction): void {
  const why = differences[name]
  if (why === undefined) plain(name, test)
  else plain.fails(`not through ${DRIVER} (${why}): ${name}`, test)
}

/** As Vitest's. */
export const it = Object.assign(conforms, {
  each: plain.each.bind(plain),
  runIf: (condition: boolean) => (condition ? conforms : plain.skip),
})
