import fs from 'node:fs'
import type { Checksum, Pgno, Position } from '../ltx/format/types.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { freelistLeaves } from '../sqlite/freelist.ts'
import { LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'
import { pageChecksumsFromLog } from './checksums-from-log.ts'
import { pageReader } from './repair.ts'

/** A database cannot be recovered: file, journal, WAL and log contradict each other. Nothing more is written to it. */
export class Unrecoverable extends LtxdError {
  /** What to do, where that is not to restore it. */
  readonly advice: string | undefined

  constructor(reason: string, advice?: string) {
    super('UNRECOVERABLE', reason)
    this.advice = advice
  }
}

/** The pages of a database's file are not those of its last transaction. `what`: which, as far as that is known. */
export function differs(expected: Position, what: string): Unrecoverable {
  return new Unrecoverable(
    `its pages do not have the checksum of its last transaction ${formatPosition(expected)}${what}: ` +
      'the file was changed while no node served it, or the disk lost writes',
  )
}

/** A file whose pages do not have the log's last checksum. */
export interface Mismatch {
  readonly files: Files
  readonly path: string
  readonly logDir: string
  readonly expected: Position
  /** The checksums of the file's pages. */
  readonly checksums: BigUint64Array
  readonly pageSize: number
  readonly freelistTrunk: number
  /** Whether a hot journal was rolled back before. */
  readonly rolledBack: boolean
}

/**
 * SQLite neither journals nor restores free-list leaves, so after a rollback they may differ harmlessly from the
 * committed state. Returns those pages with the checksums that the log expects. Any other difference is damage: throws
 * Unrecoverable.
 */
export function findResidue(mismatch: Mismatch): [Pgno, Checksum][] {
  const { files, path, logDir, expected, checksums, pageSize, freelistTrunk, rolledBack } = mismatch
  const problem = (what: string) => differs(expected, what)
  const wanted = pageChecksumsFromLog(files, logDir, expected)
  if (wanted === undefined) throw problem('')
  if (wanted.length !== checksums.length) throw problem(` (${checksums.length} pages instead of ${wanted.length})`)
  const differing: [Pgno, Checksum][] = []
  wanted.forEach((checksum, i) => {
    if (checksum !== checksums[i]) differing.push([i + 1, checksum as Checksum])
  })
  const leaves = withFile(files, path, fs.constants.O_RDONLY, (fd) =>
    freelistLeaves(freelistTrunk, checksums.length, pageReader(files, fd, pageSize)),
  )
  const bad = differing.filter(([pgno]) => !leaves.has(pgno))
  if (!rolledBack || bad.length > 0) throw problem(`; first differing page: ${(bad[0] ?? differing[0])?.[0]}`)
  return differing
}
