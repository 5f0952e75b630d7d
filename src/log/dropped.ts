/**
 * What remains of a dropped database's log: base.json alone, at the position of the drop. No name may begin again at
 * transaction 1 beside its history in backup and replicas, so a database that is made under the name continues there.
 */

import fs from 'node:fs'
import { promisify } from 'node:util'
import type { Position } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM } from '../ltx/format/types.ts'
import { syncDirectory } from '../util/directories.ts'
import type { Files } from '../util/files.ts'
import { listSegments } from './segments.ts'
import { baseText, listLogs, logDirectory, readBase } from './store.ts'

const { O_WRONLY, O_CREAT, O_TRUNC } = fs.constants
const sync = promisify(fs.fsync)
const STATE_FILES = ['synced.json', 'pages.bin', 'clean.json', 'doubted']

/** A database without pages: it was dropped, or has no transaction yet. */
export function isEmpty({ checksum }: Position): boolean {
  return checksum === EMPTY_CHECKSUM
}

/**
 * Where the database was dropped, if nothing else remains of its log. Throws StateDamagedError and UnknownFormatError.
 */
export function droppedAt(files: Files, dir: string): Position | undefined {
  if (!files.exists(`${dir}/base.json`) || listSegments(files, dir).length > 0) return undefined
  const base = readBase(files, dir)
  return base.txid > 0n && isEmpty(base) ? base : undefined
}

/**
 * Makes the drop durable in base.json. The log's records count as long as they are there. What only helps to recover
 * the database's file is removed. Does nothing when `isDropped` has become false meanwhile.
 */
export async function noteDropped(files: Files, dir: string, drop: Position, isDropped = () => true): Promise<void> {
  const temporary = `${dir}/base.json.dropped`
  const fd = files.open(temporary, O_WRONLY | O_CREAT | O_TRUNC)
  try {
    const text = Buffer.from(baseText(drop))
    files.write(fd, text, 0, text.length, 0)
    await sync(fd)
  } finally {
    files.close(fd)
  }
  if (!isDropped()) return files.remove(temporary)
  for (const name of STATE_FILES) files.remove(`${dir}/${name}`)
  files.rename(temporary, `${dir}/base.json`)
  await syncDirectory(dir)
}

/** Whether base.json holds the drop, so that no record of the log is needed. Throws StateDamagedError. */
export function isNoted(files: Files, dir: string, drop: Position): boolean {
  const base = readBase(files, dir)
  return drop.txid > 0n && base.txid === drop.txid && isEmpty(base)
}

/** After `noteDropped`: removes all records, the oldest first, so that a crash leaves a log without a gap. */
export function removeRecords(files: Files, dir: string): void {
  for (const { path } of listSegments(files, dir)) files.unlink(path)
}

/** The names of which nothing but the position of their drop remains, and those positions. */
export function listDropped(files: Files, dataDir: string): Map<string, Position> {
  const found = new Map<string, Position>()
  for (const name of listLogs(files, dataDir)) {
    const position = droppedAt(files, logDirectory(dataDir, name))
    if (position !== undefined) found.set(name, position)
  }
  return found
}
