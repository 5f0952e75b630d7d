/**
 * Predicts, without changing anything, whether a recovery will produce the log's checksum. It applies the plan to page
 * checksums instead of pages.
 */

import fs from 'node:fs'
import type { LogState } from '../log/open.ts'
import { foldAll } from '../log/page-checksums.ts'
import { readPages } from '../log/scan.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { TXID } from '../ltx/format/types.ts'
import { formatPosition } from '../ltx/format/types.ts'
import type { Journal } from '../sqlite/journal.ts'
import { PageTable } from '../sqlite/page-table.ts'
import type { Files } from '../util/files.ts'
import { readerOf, withFile } from '../util/files.ts'
import type { Leftovers, Scene } from './leftovers.ts'
import type { RecoveryStep } from './plan.ts'
import { checksumPages } from './repair.ts'

const { O_RDONLY } = fs.constants

/**
 * Why the database would not be served. undefined if it would be, or if that shows only during recovery: pages that a
 * rollback leaves wrong may be repaired from the log, or become a transaction.
 */
export function foreseeRejection(
  scene: Scene,
  { log, journal }: Leftovers,
  steps: readonly RecoveryStep[],
): string | undefined {
  const verify = steps.find(({ step }) => step === 'verify')
  if (verify?.step !== 'verify' || log === undefined) return undefined
  const { files, path } = scene
  const last = log.entries.at(-1)?.header
  if (last === undefined) return undefined
  let rolledBack = false
  const table = files.exists(path) ? tableOf(files, path, last.pageSize) : new PageTable()
  for (const step of steps) {
    if (step.step === 'roll-back-journal') {
      rolledBack = true
      rollBack(table, files, path, journal as Journal)
    } else if (step.step === 'replay-log') {
      replay(table, files, log, step.after)
    }
  }
  table.resize(last.commit)
  const matches = foldAll(table.snapshot()) === verify.position.checksum
  if (matches || rolledBack) return undefined
  return (
    `its pages would not have the checksum of its last transaction ${formatPosition(verify.position)}: ` +
    'the file was changed while no node served it, or the disk lost writes'
  )
}

function tableOf(files: Files, path: string, pageSize: number): PageTable {
  return withFile(
    files,
    path,
    O_RDONLY,
    (fd) => new PageTable(checksumPages(files, fd, Math.floor(files.size(fd) / pageSize), pageSize)),
  )
}

function rollBack(
  table: PageTable,
  files: Files,
  path: string,
  { pageSize, initialSizePages, records }: Journal,
): void {
  withFile(files, `${path}-journal`, O_RDONLY, (fd) => {
    const read = readerOf(files, fd)
    for (const { pgno, dataOffset } of records) {
      if (pgno <= initialSizePages) table.setChecksum(pgno, pageChecksum(pgno, read(dataOffset, pageSize)))
    }
  })
  table.resize(initialSizePages)
}

function replay(table: PageTable, files: Files, { entries }: LogState, after: TXID): void {
  for (const entry of entries) {
    if (entry.header.maxTXID <= after) continue
    withFile(files, entry.segment, O_RDONLY, (fd) =>
      readPages(files, fd, entry, (pgno, page) => table.setChecksum(pgno, pageChecksum(pgno, page))),
    )
    table.resize(entry.header.commit)
  }
}
