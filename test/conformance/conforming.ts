/** The suite's promises by driver. If a driver cannot meet one, the test names the reason and is expected to fail. */

import { it as plain, type TestFunction } from 'vitest'
import { DRIVER } from '../harness/driver.ts'

/** The promises that libfuse 2 or its package cannot meet, by the name of the test. */
const FUSE_NATIVE: Readonly<Record<string, string>> = {
  'set by chmod, chown and utimes reach the backing file and are read back':
    'the package passes the first of two times twice',
  'include times to the microsecond, before 1970 to the millisecond, set one by one, by name and by handle':
    'times are milliseconds since 1970, and can only be set both at once',
  'owns the files that it creates, with its own umask':
    'the package does not tell who calls: files are the node’s user’s',
  'creates files with the group of a set-group-id directory':
    'the package does not tell who calls: files are the node’s user’s',
  'honours RENAME_NOREPLACE, and rejects RENAME_EXCHANGE and a directory over a file': 'libfuse 2 has no rename flags',
  'that are not UTF-8 work as any others, and are listed byte for byte': 'the package gets names as strings: EILSEQ',
  'that are not UTF-8 and lie behind the mount are listed and opened': 'the package gets names as strings: EILSEQ',
  'may contain the replacement character': 'the package shows a name that is not UTF-8 with that character',
  'is written in the fewest requests that the kernel can make': 'libfuse 2 writes at most 128 KiB at once',
  'stays usable while open after its removal, and its name is free': 'the package reports one link, never none',
  'reads bytes once, even after a close, and attributes once more for the time of the access':
    'libfuse 2 asks at each open whether the file has changed',
  'shows its source, type and options': 'libfuse 2 reads at most 128 KiB at once',
  'shows the daemon’s own changes once it has notified the kernel': 'the package cannot invalidate the kernel’s cache',
  'are looked up at each access, ordinary files only once': 'libfuse 2 has the kernel cache every name for a second',
  'can be read by tail, in small pieces, and again through an open descriptor':
    'the kernel caches the content until the file is opened again',
  'have the time of their content': 'the file shows a new time at each look, so that the kernel reads it again',
}

const differences = DRIVER === 'fuse-native' ? FUSE_NATIVE : {}

function conforms(name: string, test: TestFunction): void {
  const why = differences[name]
  if (why === undefined) plain(name, test)
  else plain.fails(`not through ${DRIVER} (${why}): ${name}`, test)
}

/** Vitest's `it` for these tests. */
export const it = Object.assign(conforms, {
  each: plain.each.bind(plain),
  runIf: (condition: boolean) => (condition ? conforms : plain.skip),
})
