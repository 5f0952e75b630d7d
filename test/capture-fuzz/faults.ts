import type { Fault } from './faulty-build.ts'

/** Faults of the kinds that capture must not have. */
export const FAULTS: readonly Fault[] = [
  {
    name: 'a frame is ignored',
    file: 'capture/wal-tracker.ts',
    line: 'const lastIndex = uncommitted.length - 1',
    replacement: 'newest.pgnos.splice(0, newest.pgnos.length > 40 ? 1 : 0); const lastIndex = uncommitted.length - 1',
  },
  {
    name: 'a name is taken wrongly',
    file: 'capture/naming.ts',
    line: 'path.endsWith(suffix) && path.length > suffix.length',
    replacement: 'path.endsWith(suffix) && !/[^\\w./-]/.test(path)',
  },
  {
    name: 'an announcement is lost',
    file: 'capture/wal-tracker.ts',
    line: 'this.#committed(end)\n    database.publish()',
    replacement: 'this.#committed(end); if (newest.pgnos.length % 16 !== 7) database.publish()',
  },
]
