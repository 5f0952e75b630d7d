import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { LTXD_CLI } from '../test/harness/ltxd-node.ts'

/** The backup, looked at with ltxd's own commands, while no node is running or beside one. */

const run = promisify(execFile)
const TIMEOUT_MS = 20_000

export interface BackedUpFile {
  readonly level: number
  readonly minTXID: string
  readonly maxTXID: string
  readonly timestampMs: number
}

/** The files of one database, as `ltxd backup list --json` has them. */
export async function listBackup(backup: string, database: string): Promise<BackedUpFile[]> {
  return JSON.parse(await ltxd('backup', 'list', backup, database, '--json')) as BackedUpFile[]
}

/** `ltxd restore --timestamp`: the database as of a moment, into a file. */
export async function restoreMoment(backup: string, database: string, file: string, momentMs: number): Promise<void> {
  await ltxd('restore', backup, database, '-o', file, '--timestamp', new Date(momentMs).toISOString())
}

async function ltxd(...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [LTXD_CLI, ...args], { timeout: TIMEOUT_MS, killSignal: 'SIGKILL' })
  return stdout
}
