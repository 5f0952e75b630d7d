import { formatChecksum } from '../../../ltx/format/types.ts'
import { checksumDatabase } from '../../../offline/snapshot.ts'
import { StillDatabase } from '../../../offline/still-database.ts'
import { printJson, printLine } from '../../output/output.ts'
import { byteBar } from './each-file.ts'

export async function checksum(path: string, json: boolean): Promise<void> {
  const bar = byteBar()
  const database = await StillDatabase.open(path)
  try {
    const { pageSize, sizePages } = database
    const sum = formatChecksum(await checksumDatabase(database, { progress: (done, total) => bar.update(done, total) }))
    bar.stop()
    if (json) printJson({ database: path, checksum: sum, pageSize, sizePages })
    else printLine(sum)
  } finally {
    bar.stop()
    await database.close()
  }
}
