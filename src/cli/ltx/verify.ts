import { createReadStream } from 'node:fs'
import { verify } from '../../ltx/file.ts'
import { formatTXID } from '../../ltx/types.ts'
import { printJson } from '../output.ts'
import { eachFile, toJson, type FileProblem } from './each-file.ts'

export const CHUNK_BYTES = 256 * 1024

export async function verifyFiles(files: readonly string[], json: boolean): Promise<void> {
  const results: Record<string, unknown>[] = []
  const check = async (file: string) => {
    const { header, trailer, pageCount, sizeBytes } = await verify(
      createReadStream(file, { highWaterMark: CHUNK_BYTES }),
    )
    if (json) results.push({ file, ok: true, pages: pageCount, sizeBytes, ...toJson(header, trailer) })
    else {
      const range = `${formatTXID(header.minTXID)}-${formatTXID(header.maxTXID)}`
      process.stdout.write(`${file}: OK, ${range}, ${pageCount} pages\n`)
    }
  }
  const failed = ({ file, error }: FileProblem) => {
    if (json) results.push({ file, ok: false, error })
    else process.stdout.write(`${file}: ${error.message}\n`)
  }
  await eachFile(files, check, failed)
  if (json) printJson(results)
}
