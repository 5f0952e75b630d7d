import { resolve } from 'node:path'
import type { Command } from 'commander'
import { readAddress } from '../api/address-file.ts'
import { fetchStatus } from '../api/client.ts'
import type { DatabaseStatus, NodeStatus } from '../api/status.ts'
import { loadConfig } from '../config/load.ts'
import { LtxdError } from '../util/errors.ts'
import { formatDuration, formatSize } from '../util/units.ts'
import { printJson, printTable, type Column } from './output.ts'

interface Options {
  readonly data?: string
  readonly http?: string
  readonly config?: string
  readonly json?: true
}

export function register(program: Command): void {
  const command = program
    .command('status')
    .summary('show what a running node does')
    .description(
      'Show what a running node does: its databases, their positions, and how far the backup is behind. ' +
        'Exit code 1 when no node answers, or when it does not serve a database.',
    )
    .option('--data <dir>', 'ask the node that runs on this data directory')
    .option('--http <addr>', 'ask the node at this address')
    .option('--json', 'as JSON')
    .action(async () => {
      const options: Options = command.optsWithGlobals()
      const status = await fetchStatus(await findNode(options))
      if (options.json === true) printJson(status)
      else printStatus(status)
      if (status.databases.some(({ error }) => error !== undefined)) process.exitCode = 1
    })
}

/** By --http, else by --data, else by the configuration: its data directory if a node runs there, else its address. */
async function findNode(options: Options): Promise<string> {
  const config = loadConfig({
    ...(options.config === undefined ? {} : { file: options.config }),
    flags: options.http === undefined ? [] : [{ flag: '--http', path: ['http', 'addr'], value: options.http }],
  })
  if (options.http === undefined) {
    const dir = options.data === undefined ? config.data.dir : resolve(options.data)
    const address = await readAddress(dir)
    if (address !== undefined) return address.url
    if (options.data !== undefined) {
      throw new LtxdError('NODE_NOT_RUNNING', `no node runs on the data directory ${dir} (it holds no api.json)`)
    }
  }
  const { host, port } = config.http
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

const COLUMNS: readonly Column[] = [
  { title: 'DATABASE' },
  { title: 'POSITION' },
  { title: 'JOURNAL' },
  { title: 'SIZE', align: 'right' },
  { title: 'LOG', align: 'right' },
  { title: 'BACKUP' },
]

function printStatus(status: NodeStatus): void {
  const up = formatDuration(Math.floor((Date.now() - status.startedAtMs) / 1000) * 1000)
  const lines = [
    ['node', `${status.nodeId}, ${status.role}, up ${up}, pid ${status.pid}, ltxd ${status.version}`],
    ['mount', status.mount.dir],
    ['data', status.data.dir],
    ['backup', status.backup?.url ?? 'none'],
  ]
  process.stdout.write(lines.map(([name = '', value = '']) => `${name.padEnd(8)}${value}\n`).join('') + '\n')
  if (status.databases.length === 0) process.stdout.write('no databases yet\n')
  else printTable(COLUMNS, status.databases.map(toRow))
}

function toRow(database: DatabaseStatus): string[] {
  return [
    database.name,
    database.position,
    database.error === undefined ? database.journalMode : `not served: ${database.error}`,
    formatSize(database.sizePages * database.pageSize),
    formatSize(database.logBytes),
    backupCell(database),
  ]
}

function backupCell({ backup, position }: DatabaseStatus): string {
  if (backup === undefined) return '-'
  const state = position.startsWith(`${backup.txid}/`) ? 'up to date' : `${formatDuration(backup.lagMs)} behind`
  return backup.lastError === undefined ? state : `${state}, failing: ${backup.lastError}`
}
