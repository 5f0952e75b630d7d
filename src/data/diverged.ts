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
import { makeDurableDirectory } from '../util/files.ts'
import { withPinnedDirectory } from '../util/files-beneath.ts'
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
 * Throws DiskSpaceError, and the reason of the signal, and leaves nothing then.
 */
export async function saveDiverged(data: DataDirectory, divergence: Divergence, signal?: AbortSignal): Promise<string> {
  const { database, position, fork, reason } = divergence
  const before = findSaved(data, divergence)
  if (before !== undefined) return before
  return setAside(data, { database, reason }, async (dir) => {
    const log = new LogReader(data.files, database, logDirectory(data.dir, database), () => position)
    const first = await log.first()
    let transactions = 0
    if (first !== undefined) {
      const from = fork !== undefined && fork + 1n > first ? ((fork + 1n) as TXID) : first
      for await (const record of log.records(from, position.txid)) {
        signal?.throwIfAborted()
        const { minTXID, maxTXID } = record.header
        await writeDurably(data, `${dir}/${formatTXID(minTXID)}-${formatTXID(maxTXID)}.ltx`, record.bytes())
        transactions++
      }
    }
    if (fork === undefined || first === undefined || fork + 1n < first) {
      await copyAll(data, database, databaseFiles(data, database, dir), signal)
    }
    return { ...about(divergence), transactions }
  })
}

/**
 * Copies the file and the log of a database that recovery rejected. No process has it open. Returns the directory.
 * Throws DiskSpaceError, and the reason of the signal, and leaves nothing then.
 */
export async function saveRejected(
  data: DataDirectory,
  database: string,
  reason: string,
  signal?: AbortSignal,
): Promise<string> {
  return setAside(data, { database, reason }, async (dir) => {
    const log = logDirectory(data.dir, database)
    const segments = data.files.exists(log) ? data.files.list(log).map((name) => `${log}/${name}`) : []
    const copies = segments.map((from) => ({ from, to: `${dir}/log/${path.basename(from)}` }))
    if (segments.length > 0) data.files.makeDirectory(`${dir}/log`)
    await copyAll(data, database, [...databaseFiles(data, database, dir), ...copies], signal)
    if (segments.length > 0) data.files.syncDirectory(`${dir}/log`)
    return {}
  })
}

/** `fill` returns what else the report says. Where it fails, nothing is left. */
async function setAside(
  data: DataDirectory,
  about: { readonly database: string; readonly reason: string },
  fill: (dir: string) => Promise<object>,
): Promise<string> {
  const dir = newDirectory(data, about.database)
  try {
    const more = await fill(dir)
    data.files.syncDirectory(dir)
    report(data, dir, { ...about, setAside: new Date().toISOString(), ...more })
    return dir
  } catch (error) {
    const parent = { root: data.dir, base: data.at, path: path.dirname(dir) }
    await withPinnedDirectory(parent, (at) =>
      fs.promises.rm(`${at}/${path.basename(dir)}`, { recursive: true, force: true }),
    )
    throw error
  }
}

/** Identifies a divergence: the checksum in the position stands for the whole content of the database. */
function about({ position, fork }: Divergence): { readonly position: string; readonly lastSharedTXID?: string } {
  return { position: formatPosition(position), ...(fork !== undefined && { lastSharedTXID: formatTXID(fork) }) }
}

/** The report is written last, so a directory with a report is complete. */
function findSaved(data: DataDirectory, divergence: Divergence): string | undefined {
  const parent = `${data.dir}/diverged/${divergence.database}`
  const { position, lastSharedTXID } = about(divergence)
  return data.files
    .list(parent)
    .map((name) => `${parent}/${name}`)
    .find((dir) => {
      const report = readReport(data, dir)
      return report?.position === position && report.lastSharedTXID === lastSharedTXID
    })
}

const reportSchema = z.object({ position: z.string().optional(), lastSharedTXID: z.string().optional() })
const REPORT = { format: REPORT_FORMAT, schema: reportSchema }

function readReport({ files }: DataDirectory, dir: string): z.infer<typeof reportSchema> | undefined {
  try {
    return readState(files, `${dir}/report.json`, REPORT)
  } catch {
    return undefined
  }
}

function newDirectory(data: DataDirectory, database: string): string {
  makeDurableDirectory(data.files, `${data.dir}/diverged/${database}`)
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  for (let i = 1; ; i++) {
    const dir = `${data.dir}/diverged/${database}/${i === 1 ? stamp : `${stamp}-${i}`}`
    if (data.files.exists(dir)) continue
    data.files.makeDirectory(dir)
    return dir
  }
}

interface Copy {
  readonly from: string
  readonly to: string
}

function databaseFiles({ root }: DataDirectory, database: string, dir: string): Copy[] {
  return ['', '-wal', '-journal'].map((suffix) => ({
    from: `${root}/${database}${suffix}`,
    to: `${dir}/database${suffix}`,
  }))
}

/** A user of the mount may have made a file of any length, or a directory of that name. Throws DiskSpaceError. */
async function copyAll(
  { files }: DataDirectory,
  database: string,
  copies: readonly Copy[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const sizeOf = ({ from }: Copy) => {
    const found = files.exists(from) ? files.status(from) : undefined
    return found?.isFile() === true ? bytesOnDisk(found) : undefined
  }
  const there = copies.filter((copy) => sizeOf(copy) !== undefined)
  const sizeBytes = there.reduce((sum, copy) => sum + (sizeOf(copy) ?? 0), 0)
  const into = there[0] && files.at(path.dirname(there[0].to))
  if (into !== undefined) await assertDiskSpace(`what is set aside of ${database}`, into, sizeBytes)
  for (const { from, to } of there) {
    const fd = files.open(from, fs.constants.O_RDONLY)
    try {
      const options = { skipsHoles: true, durable: true, ...(signal && { signal }) }
      await copyFile(`/proc/self/fd/${fd}`, files.at(to), files.modes.file, options)
    } finally {
      fs.closeSync(fd)
    }
  }
}

function report({ files }: DataDirectory, dir: string, content: object): void {
  writeState(files, `${dir}/report.json`, REPORT.format, content, 2)
  files.syncDirectory(path.dirname(dir))
}

async function writeDurably({ files }: DataDirectory, file: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await create(files.at(file), 'wx', files.modes.file)
  try {
    for await (const chunk of bytes) await handle.writeFile(chunk)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
