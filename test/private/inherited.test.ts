import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BackgroundCommand } from '../harness/background.ts'
import { DRIVER } from '../harness/driver.ts'
import { detach } from '../harness/mounts.ts'
import { localClients, processTree } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'

/** What the application and ltxd's own helper processes inherit from ltxd: descriptors, and variables. */

let dir: string
let node: BackgroundCommand | undefined

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-inherited-')))
})

afterEach(async () => {
  await node?.stop('SIGKILL')
  await detach(join(dir, 'mnt'))
  await rm(dir, { recursive: true, force: true })
})

const CANARY = 'canary-4b1d'
const SECRETS = {
  LTXD_REDIS_URL: `redis://:${CANARY}@host`,
  LTXD_STORES: `x=s3://${CANARY}`,
  LTXD_BACKUP_URL: `s3://${CANARY}`,
}

/** Two connections, so that the node's local client checkpoints. */
const APPLICATION = `
  const Database = require('better-sqlite3')
  const open = () => new Database(process.env.LTXD_MOUNT + '/a.db')
  const one = open()
  one.pragma('journal_mode = wal')
  one.exec('create table t (x)')
  const other = open()
  other.exec('insert into t values (1)')
  setInterval(() => {}, 1000)
`

const environment = (pid: number) => readFileSync(`/proc/${pid}/environ`, 'utf8')

/** What the process has open. */
function opened(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      return [] // Closed meanwhile.
    }
  })
}

test('the application inherits no descriptor and no secret of the node; helpers get no secret at all', async () => {
  const [mount, data, log] = ['mnt', 'data', 'log'].map((name) => join(dir, name)) as [string, string, string]
  mkdirSync(mount)
  const options = ['--data', data, '--driver', DRIVER, '--http', '127.0.0.1:0']
  const environmentOfNode = { ...SECRETS, AWS_SECRET_ACCESS_KEY: 'canary-of-aws', THEIRS: 'of the application' }
  const command = ['mount', mount, ...options, '--', process.execPath, '-e', APPLICATION]
  node = new BackgroundCommand(command, log, environmentOfNode)
  await node.said(/application started/)
  const application = Number(/application started process=(\d+)/.exec(node.output())?.[1])
  await until('the local client', 30_000, () => localClients(node!.pid).length > 0)

  expect(environment(application)).not.toContain(CANARY)
  expect(environment(application)).toContain('THEIRS=of the application')
  expect(environment(application)).toContain('AWS_SECRET_ACCESS_KEY=canary-of-aws')
  expect(environment(application)).toContain(`LTXD_MOUNT=${mount}`)
  const isOfNode = (path: string) => path === '/dev/fuse' || path.startsWith(data) || path.startsWith('socket:')
  expect(opened(application).filter(isOfNode)).toEqual([])

  const helpers = processTree(node.pid).filter((pid) => pid !== node!.pid && pid !== application)
  for (const pid of helpers) {
    const name = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    expect(environment(pid), name).not.toMatch(/canary|THEIRS/)
    // The local client works in the data directory, by the descriptor that the node holds.
    expect(
      opened(pid).filter((path) => path.startsWith(data) || path === log),
      name,
    ).toEqual(name.startsWith('ltxd: local client') ? [data] : [])
  }
})
