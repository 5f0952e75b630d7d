import { type ChainLink, formatTXIDs, joint } from '../../../ltx/chain.ts'
import { verify } from '../../../ltx/file.ts'
import { readChunks } from '../../../offline/ltx-file.ts'
import { printJson, printLine } from '../../output/output.ts'
import { byteBar, eachFile, type FileProblem, toJson, totalSize } from './each-file.ts'

export interface VerifyOptions {
  readonly json: boolean
  /** The files need not continue each other. */
  readonly each: boolean
}

/** A file that was verified. An invalid one has no link. */
interface Verified {
  readonly file: string
  readonly link?: ChainLink
}

export async function verifyFiles(files: readonly string[], { json, each }: VerifyOptions): Promise<void> {
  const bar = byteBar()
  const totalBytes = await totalSize(files)
  let readBytes = 0
  const count = (bytes: number) => bar.update((readBytes += bytes), totalBytes)
  const print = (line: string) => {
    bar.stop()
    if (!json) printLine(line)
  }
  const results: Record<string, unknown>[] = []
  const verified: Verified[] = []
  const check = async (file: string) => {
    const { header, trailer, pageCount, sizeBytes } = await verify(readChunks(file, count))
    verified.push({ file, link: { header, trailer } })
    results.push({ file, ok: true, pages: pageCount, sizeBytes, ...toJson(header, trailer) })
    print(`${file}: OK, ${formatTXIDs(header)}, ${pageCount} pages`)
  }
  const failed = ({ file, error }: FileProblem) => {
    verified.push({ file })
    results.push({ file, ok: false, error })
    print(`${file}: ${error.message}`)
  }
  await eachFile(files, check, failed)
  const chain = each || files.length < 2 ? undefined : chainOf(verified)
  if (chain?.ok === false) process.exitCode = 1
  if (json) printJson({ files: results, ...(chain === undefined ? {} : { chain }) })
  else if (chain !== undefined) linesOf(chain, files.length).forEach(print)
}

interface Chain {
  readonly ok: boolean
  /** The number of joints that were verified by checksum. */
  readonly byChecksum: number
  readonly problems: readonly { readonly file: string; readonly field?: string; readonly problem: string }[]
}

/** Whether the files, in this order, continue each other. */
function chainOf(files: readonly Verified[]): Chain {
  const problems: { file: string; field?: string; problem: string }[] = []
  let byChecksum = 0
  for (let n = 1; n < files.length; n++) {
    const [before, after] = [files[n - 1]!, files[n]!]
    if (before.link === undefined || after.link === undefined) {
      const broken = before.link === undefined ? before.file : after.file
      problems.push({
        file: after.file,
        problem: `could not be compared with ${before.file}: ${broken} is not valid`,
      })
      continue
    }
    const found = joint(before.link, after.link)
    if (found.problem === undefined) byChecksum += found.checksums ? 1 : 0
    else {
      const problem = `does not continue ${before.file}: ${found.problem.field} ${found.problem.problem}`
      problems.push({ file: after.file, field: found.problem.field, problem })
    }
  }
  return { ok: problems.length === 0, byChecksum, problems }
}

function linesOf({ problems, byChecksum }: Chain, fileCount: number): string[] {
  if (problems.length > 0) return problems.map(({ file, problem }) => `chain: ${file} ${problem}`)
  const joints = fileCount - 1
  const proof =
    byChecksum === joints
      ? 'each from the checksum of the one before it'
      : `${byChecksum} of ${joints} joints by checksum`
  return [`chain: OK, the ${fileCount} files continue each other, ${proof}`]
}
