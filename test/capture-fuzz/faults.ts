import type { Fault } from './faulty-build.ts'

/** Faults of the kinds that capture must not have. */
export const FAULTS: readonly Fault[] = [
  {
    name: 'a frame is ignored',
    file: 'capture/wal-capture.ts',
    line: 'const lastIndex = uncommitted.length - 1',
    replacement: 'newest.pgnos.splice(0, newest.pgnos.length > 40 ? 1 : 0); const lastIndex = uncommitted.length - 1',
    foundAs: ['not in the log'],
  },
  {
    // A WAL is then a plain file, and a journal protects nothing.
    name: 'a name is taken wrongly',
    file: 'capture/naming.ts',
    line: 'path.endsWith(suffix) && path.length > suffix.length',
    replacement: 'path.endsWith(suffix) && !/[^\\w./-]/.test(path)',
    foundAs: ['not in the log', 'another answer'],
  },
  {
    name: 'an announcement is lost',
    file: 'capture/wal-tracker.ts',
    line: 'if (!repeats) database.publish()',
    replacement: 'if (!repeats && commit % 16 !== 7) database.publish()',
    foundAs: ['not in the stream'],
  },
]
