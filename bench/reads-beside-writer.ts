import { databaseOn, sideBySide } from './harness/row.ts'

/**
 * The writer starts before the reader and ends after it, so that all counted reads run beside it.
 */
const WRITER_OVERLAP_SECONDS = 0.4

/** Point reads per second of one process while another commits to the same database as fast as it can. */
export const readsBesideWriter = sideBySide('reads-beside-writer', [
  {
    id: 'read-beside-writer',
    what: 'reads/s beside a writer, WAL',
    async start(side, bench) {
      const database = databaseOn(side, 'read-beside-writer', 'WAL', 'NORMAL')
      const writer = bench.client()
      const reader = bench.client()
      await writer.create(database)
      await reader.open(database)
      return async (seconds) => {
        const writing = writer.measure({ kind: 'update' }, seconds + WRITER_OVERLAP_SECONDS)
        const reading = reader.measure({ kind: 'read' }, seconds)
        const [sample] = await Promise.all([reading, writing])
        return sample
      }
    },
  },
])
