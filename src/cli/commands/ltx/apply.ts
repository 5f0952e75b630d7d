import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { formatChecksum, formatTXID } from '../../../ltx/format/types.ts'
import { applyToExisting, applyToNew } from '../../../offline/apply.ts'
import { findFiles } from '../../../offline/ltx-file.ts'
import { UsageError } from '../../../util/errors.ts'
import { interruptible } from '../../output/interruption.ts'
import { printJson, printLine } from '../../output/output.ts'
import { byteBar } from './each-file.ts'

export interface ApplyOptions {
  readonly db?: string
  readonly output?: string
  readonly force?: true
  readonly json?: true
}

export async function apply(paths: readonly string[], options: ApplyOptions): Promise<void> {
  const { path, isNew } = target(options)
  const bar = byteBar()
  try {
    const result = await interruptible(async (signal) => {
      const files = await findFiles(paths, { signal, progress: (done, total) => bar.update(done, total) })
      if (isNew) return applyToNew(path, files, signal)
      return applyToExisting(path, files, { replace: options.force === true, signal })
    })
    bar.stop()
    const { header, checksum, verified, pages } = result
    const report = {
      database: path,
      created: isNew,
      files: paths.length,
      txid: formatTXID(header.maxTXID),
      checksum: formatChecksum(checksum),
      verified,
      pages,
      pageSize: header.pageSize,
      sizePages: header.commit,
    }
    if (options.json === true) printJson(report)
    else printLine(describe(report))
  } finally {
    bar.stop()
  }
}

function target({ db, output }: ApplyOptions): { path: string; isNew: boolean } {
  if (db !== undefined && output !== undefined)
    throw new UsageError('--db and -o cannot be combined: each names the database to write')
  if (output !== undefined) return { path: resolve(output), isNew: true }
  if (db !== undefined) return { path: resolve(db), isNew: !existsSync(db) }
  throw new UsageError('no database to apply to: give --db FILE to change or create one, or -o FILE to write a new one')
}

interface Report {
  readonly database: string
  readonly created: boolean
  readonly files: number
  readonly txid: string
  readonly checksum: string
  readonly verified: boolean
  readonly pageSize: number
  readonly sizePages: number
}

function describe({ database, created, files, txid, checksum, verified, pageSize, sizePages }: Report): string {
  const proof = verified ? 'matches the last file' : 'not verified: the last file has none'
  const size = `${sizePages} pages of ${pageSize} bytes`
  const what = `${files} file${files === 1 ? '' : 's'} ${created ? 'to a new database,' : 'to'} ${database}`
  return `applied ${what}: transaction ${txid}, ${size}; checksum ${checksum} (${proof})`
}
