import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { LTXD_CLI } from '../test/harness/ltxd-node.ts'

/** Reads the backup with ltxd's commands, as an operator can with or without a running node. */

const run = promisify(execFile)
const TIMEOUT_MS = 20_000

/** The last transaction of the backup or of a restored file. */
export interface BackupPoint {
  readonly txid: bigint
  /** The time of its commit. */
  readonly committedAtMs: number
}

/** An object of the backup. */
export interface BackupFile extends BackupPoint {
  /** 0 as shipped, 1 and above compacted, 9 a snapshot. */
  readonly level: number
}

/** The objects of `database`. */
export async function filesInBackup(backup: string, database: string): Promise<BackupFile[]> {
  const listed = await ltxd('backup', 'list', backup, database, '--json')
  const { files } = JSON.parse(listed) as { files: readonly { level: number; max: string; time: string }[] }
  return files.map(({ level, max, time }) => ({ level, ...point(max, time) }))
}

/** The newest transaction in the backup of `database`. */
export async function newestInBackup(backup: string, database: string): Promise<BackupPoint> {
  const files = await filesInBackup(backup, database)
  return files.reduce((newest, one) => (one.txid > newest.txid ? one : newest))
}

/** Runs `ltxd backup verify`. Throws if anything of `database` is missing or does not form one history. */
export async function verifyInBackup(backup: string, database: string): Promise<void> {
  await ltxd('backup', 'verify', backup, database)
}

/** Runs `ltxd restore --timestamp` to a new file, and returns its last transaction. */
export async function restoreMoment(options: {
  readonly backup: string
  readonly database: string
  readonly file: string
  readonly moment: string
}): Promise<BackupPoint> {
  const { backup, database, file, moment } = options
  const report = await ltxd('restore', backup, database, '-o', file, '--timestamp', moment, '--json')
  const { txid, timestamp } = JSON.parse(report) as { txid: string; timestamp: string }
  return point(txid, timestamp)
}

function point(txid: string, time: string): BackupPoint {
  return { txid: BigInt(`0x${txid}`), committedAtMs: Date.parse(time) }
}

async function ltxd(...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [LTXD_CLI, ...args], { timeout: TIMEOUT_MS, killSignal: 'SIGKILL' })
  return stdout
}
