/** Saves the part of a database's history that the cluster does not share, so that no transaction is lost silently. */

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { LogReader } from '../log/reader.ts'
import { logDirectory } from '../log/store.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { formatPosition, formatTXID } from '../ltx/format/types.ts'
import { bytesOnDisk, copyFile } from '../util/copy-file.ts'
import { assertDiskSpace } from '../util/disk-space.ts'
import { nodeFiles } from '../util/files.ts'
import { create } from '../util/private-files.ts'
import { readState, writeState } from '../util/state-file.ts'
import type { DataDirectory } from './directory.ts'
import { REPORT_FORMAT } from './report.ts'

export interface Divergence {
  readonly database: string
  readonly position: Position
  /** The last transaction that both histories share; undefined when there is none, or it is unknown. */
  readonly fork: TXID | undefined
  readonly reason: string
}

/**
 * Writes the transactions after the fork as LTX files below `diverged/`, with a report, all durable. If the fork is
 * unknown, copies the database file too. No process may be writing to the database. Returns the directory. A second
 * call for the same divergence, after the snapshot that should follow did not arrive, returns the first directory.
 */
export async function saveDiverged(data: DataDirectory, divergence: Divergence): Promise<string> {
  const { database, position, fork, reason } = divergence
  const before = findSaved(data, divergence)
  if (before !== undefined) return before
  const dir = newDirectory(data, database)
  const log = new LogReader(database, logDirectory(data.dir, database), () => position)
  const first = await log.first()
  let transactions = 0
  if (first !== undefined) {
    const from = fork !== undefined && fork + 1n > first ? ((fork + 1n) as TXID) : first
    for await (const record of log.records(from, position.txid)) {
      const { minTXID, maxTXID } = record.header
      await writeDurably(data, `${dir}/${formatTXID(minTXID)}-${formatTXID(maxTXID)}.ltx`, record.bytes())
      transactions++
    }
  }
  if (fork === undefined || first === undefined || fork + 1n < first) await copyDatabase(data, database, dir)
  report(data, dir, {
    database,
    reason,
    setAside: new Date().toISOString(),
    ...about(divergence),
    transactions,
  })
  return dir
}

/** Copies the file and the log of a database that recovery rejected. No process has it open. Returns the directory. */
export async function saveRejected(data: DataDirectory, database: string, reason: string): Promise<string> {
  const dir = newDirectory(data, database)
  await copyDatabase(data, database, dir)
  const log = logDirectory(data.dir, database)
  if (fs.existsSync(log)) await fs.promises.cp(log, `${dir}/log`, { recursive: true })
  report(data, dir, { database, reason, setAside: new Date().toISOString() })
  return dir
}

/** Identifies a divergence: the checksum in the position stands for the whole content of the database. */
function about({ position, fork }: Divergence): { readonly position: string; readonly lastSharedTXID?: string } {
  return { position: formatPosition(position), ...(fork !== undefined && { lastSharedTXID: formatTXID(fork) }) }
}

/** The report is written last, so a directory with a report is complete. */
function findSaved(data: DataDirectory, divergence: Divergence): string | undefined {
  const parent = `${data.dir}/diverged/${divergence.database}`
  const { position, lastSharedTXID } = about(divergence)
  const names = fs.existsSync(parent) ? fs.readdirSync(parent) : []
  return names
    .map((name) => `${parent}/${name}`)
    .find((dir) => {
      const report = readReport(dir)
      return report?.position === position && report.lastSharedTXID === lastSharedTXID
    })
}

const reportSchema = z.object({ position: z.string().optional(), lastSharedTXID: z.string().optional() })
const REPORT = { format: REPORT_FORMAT, schema: reportSchema }

function readReport(dir: string): z.infer<typeof reportSchema> | undefined {
  try {
    return readState(nodeFiles, `${dir}/report.json`, REPORT)
  } catch {
    return undefined
  }
}

function newDirectory(data: DataDirectory, database: string): string {
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  for (let i = 1; ; i++) {
    const dir = `${data.dir}/diverged/${database}/${i === 1 ? stamp : `${stamp}-${i}`}`
    if (fs.existsSync(dir)) continue
    data.files.makeDirectory(dir)
    return dir
  }
}

/** A user of the mount may have made a file of any length, or a directory of that name. Throws DiskSpaceError. */
async function copyDatabase(data: DataDirectory, database: string, dir: string): Promise<void> {
  for (const suffix of ['', '-wal', '-journal']) {
    const from = `${data.root}/${database}${suffix}`
    if (!data.files.exists(from) || data.files.status(from)?.isFile() !== true) continue
    const fd = data.files.open(from, fs.constants.O_RDONLY)
    try {
      await assertDiskSpace(`what is set aside of ${database}`, dir, bytesOnDisk(fs.fstatSync(fd)))
      await copyFile(`/proc/self/fd/${fd}`, `${dir}/database${suffix}`, data.modes.file, () => Promise.resolve())
    } catch (error) {
      await fs.promises.rm(dir, { recursive: true, force: true })
      throw error
    } finally {
      fs.closeSync(fd)
    }
  }
}

function report({ files }: DataDirectory, dir: string, content: object): void {
  writeState(files, `${dir}/report.json`, REPORT.format, content, 2)
  files.syncDirectory(path.dirname(dir))
}

async function writeDurably({ modes }: DataDirectory, file: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await create(file, 'wx', modes.file)
  try {
    for await (const chunk of bytes) await handle.writeFile(chunk)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
