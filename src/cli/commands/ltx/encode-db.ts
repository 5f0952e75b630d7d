import { formatChecksum, formatTXID, parseTXID, toTXID, type TXID } from '../../../ltx/format/types.ts'
import { encodeDatabase } from '../../../offline/snapshot.ts'
import { StillDatabase } from '../../../offline/still-database.ts'
import { errorMessage, UsageError } from '../../../util/errors.ts'
import { NewFile } from '../../../util/new-file.ts'
import { formatSize } from '../../../util/units.ts'
import { interruptible } from '../../output/interruption.ts'
import { printJson, printLine } from '../../output/output.ts'
import { byteBar } from './each-file.ts'

export interface EncodeOptions {
  readonly output: string
  readonly txid?: string
  readonly force?: true
  readonly json?: true
}

export async function encodeDb(path: string, options: EncodeOptions): Promise<void> {
  const txid = parseTxid(options.txid)
  const database = await StillDatabase.open(path)
  const bar = byteBar()
  try {
    if (await database.isAt(options.output))
      throw new UsageError(`-o ${options.output} is the database itself: name another file`)
    const output = await NewFile.create(options.output, { replace: options.force === true, flag: '--force' })
    try {
      const progress = (done: number, total: number) => bar.update(done, total)
      const { checksum, pages, sizeBytes } = await interruptible(async (signal) => {
        const result = await encodeDatabase(database, output, { txid, timestampMs: Date.now(), signal, progress })
        await output.publish()
        return result
      })
      bar.stop()
      const sums = { txid: formatTXID(txid), checksum: formatChecksum(checksum) }
      if (options.json === true) {
        printJson({ database: path, output: options.output, ...sums, pageSize: database.pageSize, pages, sizeBytes })
        return
      }
      const from = `${path} as of transaction ${sums.txid}`
      const content = `${pages} pages of ${database.pageSize} bytes in ${formatSize(sizeBytes)}`
      printLine(`encoded ${from} to ${options.output}: ${content}, checksum ${sums.checksum}`)
    } finally {
      await output.discard()
    }
  } finally {
    bar.stop()
    await database.close()
  }
}

function parseTxid(text: string | undefined): TXID {
  if (text === undefined) return toTXID(1)
  try {
    const txid = parseTXID(text)
    if (txid > 0n) return txid
  } catch (error) {
    throw new UsageError(`--txid ${errorMessage(error)}`, { cause: error })
  }
  throw new UsageError('--txid 0 is before the first transaction: expected 1 or more, in hexadecimal')
}
