import { formatTXIDs } from '../../../ltx/chain.ts'
import { compactFiles } from '../../../offline/compact.ts'
import { findFiles } from '../../../offline/ltx-file.ts'
import { NewFile } from '../../../util/new-file.ts'
import { formatSize } from '../../../util/units.ts'
import { interruptible } from '../../output/interruption.ts'
import { printJson, printLine } from '../../output/output.ts'
import { byteBar, toJson } from './each-file.ts'

export interface CompactOptions {
  readonly output: string
  readonly dropChecksums?: true
  readonly force?: true
  readonly json?: true
}

export async function compact(paths: readonly string[], options: CompactOptions): Promise<void> {
  const bar = byteBar()
  const output = await NewFile.create(options.output, { replace: options.force === true, flag: '--force' })
  try {
    const result = await interruptible(async (signal) => {
      const files = await findFiles(paths, { progress: (done, total) => bar.update(done, total) })
      const dropChecksums = options.dropChecksums === true
      const compacted = await compactFiles(files, output, { signal, dropChecksums })
      await output.publish()
      return compacted
    })
    bar.stop()
    const { header, trailer, pageCount, sizeBytes } = result
    if (options.json === true) {
      printJson({
        output: options.output,
        inputs: paths.length,
        pages: pageCount,
        sizeBytes,
        ...toJson(header, trailer),
      })
      return
    }
    const inputs = `${paths.length} ${paths.length === 1 ? 'file' : 'files'}`
    const content = `${formatTXIDs(header)}, ${pageCount} pages in ${formatSize(sizeBytes)}`
    printLine(`compacted ${inputs} to ${options.output}: ${content}`)
  } finally {
    bar.stop()
    await output.discard()
  }
}
