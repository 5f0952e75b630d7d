/** What is kept of a history that the cluster does not share: nothing is thrown away silently. */

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { LogReader } from '../log/reader.ts'
import { logDirectory } from '../log/store.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { formatPosition, formatTXID } from '../ltx/format/types.ts'
import { nodeFiles, replaceFile } from '../util/files.ts'
import type { DataDirectory } from './directory.ts'

export interface Divergence {
  readonly database: string
  readonly position: Position
  /** The last transaction that both histories share; undefined where there is none, or nothing tells. */
  readonly fork: TXID | undefined
  readonly reason: string
}

/**
 * Writes the transactions after the fork as LTX files below `diverged/`, with a report, all durable; where nothing tells the fork, the database
 * file as well. Nobody may be writing to the database. Returns the directory. Repeated, as when the snapshot that was to follow did not
 * arrive, it finds what it kept before.
 */
export async function keepDiverged(data: DataDirectory, divergence: Divergence): Promise<string> {
  const { database, position, fork, reason } = divergence
  const before = findKept(data, divergence)
  if (before !== undefined) return before
  const dir = newDirectory(data, database)
  const log = new LogReader(database, logDirectory(data.dir, database), () => position)
  const first = await log.first()
  let transactions = 0
  if (first !== undefined) {
    const from = fork !== undefined && fork + 1n > first ? ((fork + 1n) as TXID) : first
    for await (const record of log.records(from, position.txid)) {
      const { minTXID, maxTXID } = record.header
      await writeDurably(`${dir}/${formatTXID(minTXID)}-${formatTXID(maxTXID)}.ltx`, record.bytes())
      transactions++
    }
  }
  if (fork === undefined || first === undefined || fork + 1n < first) keepFile(data, database, dir)
  report(dir, {
    database,
    reason,
    setAside: new Date().toISOString(),
    ...about(divergence),
    transactions,
  })
  return dir
}

/** A database that recovery refused: its file and log as they are. Nobody has it open. Returns the directory. */
export function keepRefused(data: DataDirectory, database: string, reason: string): string {
  const dir = newDirectory(data, database)
  keepFile(data, database, dir)
  const log = logDirectory(data.dir, database)
  if (fs.existsSync(log)) fs.cpSync(log, `${dir}/log`, { recursive: true })
  report(dir, { database, reason, setAside: new Date().toISOString() })
  return dir
}

/** What tells one divergence from another: the checksum in the position stands for all that is in the database. */
function about({ position, fork }: Divergence): { readonly position: string; readonly lastSharedTXID?: string } {
  return { position: formatPosition(position), ...(fork !== undefined && { lastSharedTXID: formatTXID(fork) }) }
}

/** Reports are written last: where there is one, everything is. */
function findKept(data: DataDirectory, divergence: Divergence): string | undefined {
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

function readReport(dir: string): z.infer<typeof reportSchema> | undefined {
  try {
    return reportSchema.parse(JSON.parse(fs.readFileSync(`${dir}/report.json`, 'utf8')))
  } catch {
    return undefined
  }
}

function newDirectory(data: DataDirectory, database: string): string {
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  for (let i = 1; ; i++) {
    const dir = `${data.dir}/diverged/${database}/${i === 1 ? stamp : `${stamp}-${i}`}`
    fs.mkdirSync(path.dirname(dir), { recursive: true })
    if (fs.existsSync(dir)) continue
    fs.mkdirSync(dir)
    return dir
  }
}

function keepFile(data: DataDirectory, database: string, dir: string): void {
  for (const suffix of ['', '-wal', '-journal']) {
    const from = `${data.root}/${database}${suffix}`
    if (fs.existsSync(from)) fs.copyFileSync(from, `${dir}/database${suffix}`, fs.constants.COPYFILE_FICLONE)
  }
}

function report(dir: string, content: object): void {
  replaceFile(nodeFiles, `${dir}/report.json`, Buffer.from(JSON.stringify(content, null, 2) + '\n'))
  nodeFiles.syncDirectory(path.dirname(dir))
}

async function writeDurably(file: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await fs.promises.open(file, 'wx')
  try {
    for await (const chunk of bytes) await handle.writeFile(chunk)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
