/** SIGUSR1 opens the debugger of Node.js for every user of the machine. In no process of a node's does it. */

import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findTool, NODE_LINES } from '../../infra/test-tools.ts'
import { HANG_MS } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { detach } from '../harness/mounts.ts'
import { isRunning, localClients, processTree, signalProcess } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'

/** How long nobody may begin to listen: that takes milliseconds. */
const LISTENING_MS = 2_000
const ROOT = join(import.meta.dirname, '..', '..')

let dir: string
let mount: string
let node: LtxdNode | undefined
const started: ChildProcess[] = []

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-debugger-')))
  mount = join(dir, 'mnt')
})

afterEach(async () => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
  await node?.destroy()
  node = undefined
  await detach(mount)
  fs.rmSync(dir, { recursive: true, force: true })
})

const versions = [
  { name: 'this Node.js', program: process.execPath },
  ...NODE_LINES.flatMap((line) => {
    const program = findTool(`node-${line}`)
    return program === undefined ? [] : [{ name: `Node.js ${line}`, program }]
  }),
]

test.each(versions)(
  'SIGUSR1 opens nothing in a node, its client and its helpers, with $name',
  limits(),
  async ({ program }) => {
    node = LtxdNode.start({ mount, data: join(dir, 'data'), logFile: join(dir, 'log'), node: program })
    await node.mounted()
    await listens()
    await openDatabase()
    await until('the local client', HANG_MS, () => localClients(node?.pid ?? 0).length === 1)
    await expectNothingOpened(node.pid)
  },
)

test('SIGUSR1 opens nothing in the process of libfuse', limits(), async () => {
  const options = { mount, data: join(dir, 'data'), logFile: join(dir, 'log') }
  node = LtxdNode.start({ ...options, arguments: ['--driver', 'fuse-native'] })
  await node.mounted()
  await listens()
  await expectNothingOpened(node.pid)
})

test('SIGUSR1 opens nothing in a node that a program starts', limits(), async () => {
  const script = `
    import { startNode } from '${pathToFileURL(join(ROOT, 'dist/index.js')).href}'
    await startNode({ mount: '${mount}', data: '${join(dir, 'data')}' })
    console.log('started')
    process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  started.push(child)
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  await until('a node', HANG_MS, () => said.includes('started'))
  const [own] = processTree(child.pid ?? 0).slice(1)
  await expectNothingOpened(own ?? 0)
  child.stdin.end()
  process.kill(own ?? 0, 'SIGTERM')
  await until('its end', HANG_MS, () => !isRunning(own ?? 0))
})

function limits() {
  return { timeout: 2 * HANG_MS }
}

/** The node has opened its own port. */
async function listens(): Promise<void> {
  await until('its API', HANG_MS, () => fs.existsSync(join(dir, 'data', 'api.json')))
}

/** An application with a database in WAL mode. */
async function openDatabase(): Promise<void> {
  const child = spawn('sqlite3', [join(mount, 'a.db')], { stdio: ['pipe', 'pipe', 'inherit'] })
  started.push(child)
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stdin.write("PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES (1); SELECT 'ready';\n")
  await until('a transaction', HANG_MS, () => said.includes('ready'))
}

async function expectNothingOpened(pid: number): Promise<void> {
  const processes = processTree(pid)
  const before = listening(processes)
  for (const each of processes) signalProcess(each, 'SIGUSR1')
  for (let waited = 0; waited < LISTENING_MS; waited += 100) {
    expect(listening(processes)).toEqual(before)
    await delay(100)
  }
  expect(processes.filter((each) => !isRunning(each))).toEqual([])
}

/** The ports that these processes listen at. */
function listening(pids: readonly number[]): string[] {
  const sockets = new Set(pids.flatMap(openFiles))
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    fs
      .readFileSync(table, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A' && sockets.has(`socket:[${fields[9]}]`))
      .map((fields) => fields[1] ?? ''),
  )
}

function openFiles(pid: number): string[] {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
  } catch {
    return [] // The process has ended.
  }
}

function linkOf(path: string): string {
  try {
    return fs.readlinkSync(path)
  } catch {
    return '' // It has been closed.
  }
}
