/** `ltxd` as a library: programs that start a node, open databases on its mount, and end in different ways. */

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runLimited } from '../harness/limited.ts'
import { detach, isMounted } from '../harness/mounts.ts'
import { isRunning, signalProcess } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const LIMIT_MS = 60_000

let dir: string
let mount: string

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-library-')))
  mount = join(dir, 'mnt')
})

afterEach(async () => {
  await detach(mount)
  await rm(dir, { recursive: true, force: true })
})

/** Writes a program with `ltxd`, better-sqlite3 and the options of a node in scope. */
async function program(body: string): Promise<string> {
  const path = join(dir, 'program.mjs')
  const url = (file: string) => JSON.stringify(pathToFileURL(join(ROOT, file)).href)
  await writeFile(
    path,
    `import { createRequire } from 'node:module'
    import { LtxdError, restore, startNode, VERSION } from ${url('dist/index.js')}
    const Database = createRequire(${url('package.json')})('better-sqlite3')
    const dir = ${JSON.stringify(dir)}
    const backup = 'file://' + dir + '/backup'
    const options = { mount: dir + '/mnt', data: dir + '/data', backup }
    ${body}`,
  )
  return path
}

async function run(body: string): Promise<string> {
  return runLimited(LIMIT_MS, process.execPath, [await program(body)], { cwd: dir, env: process.env })
}

test('a program starts a node, writes on its mount, stops it, and restores the database', async () => {
  const printed = await run(`
    const node = await startNode(options)
    const database = new Database(node.mount + '/app.db')
    database.pragma('journal_mode = WAL')
    database.exec('CREATE TABLE t(x); INSERT INTO t VALUES (42)')
    database.close()
    const status = await node.status()
    console.log(status.version === VERSION, status.databases.map(({ name }) => name), node.url.startsWith('http://127.0.0.1:'))
    await node.stop()
    await node.ended
    const { txid, verified } = await restore({ backup, database: 'app.db', output: dir + '/restored.db' })
    const restored = new Database(dir + '/restored.db')
    console.log(txid, verified, restored.prepare('SELECT x FROM t').pluck().get())
    restored.close()
    const first = await restore({ backup, database: 'app.db', output: dir + '/old.db', timestamp: new Date(0) }).catch((error) => error)
    console.log(first instanceof LtxdError, first.code)
  `)
  expect(printed).toBe(`true [ 'app.db' ] true\n0000000000000003 true 42\ntrue TARGET_UNAVAILABLE\n`)
  expect(isMounted(mount)).toBe(false)
})

test('a node stops cleanly when its program is killed', async () => {
  const log = join(dir, 'pid')
  const path = await program(`
    import { writeFileSync } from 'node:fs'
    const node = await startNode(options)
    const database = new Database(node.mount + '/app.db')
    database.exec('CREATE TABLE t(x)')
    writeFileSync(${JSON.stringify(log)}, String(node.pid))
    setInterval(() => {}, 1000)
  `)
  const child = spawn(process.execPath, [path], { cwd: dir, stdio: 'inherit' })
  await until('a node', LIMIT_MS, () => existsSync(log))
  const pid = Number(await readFile(log, 'utf8'))
  child.kill('SIGKILL')
  await until('end of the node', LIMIT_MS, () => !isRunning(pid))
  expect(isMounted(mount)).toBe(false)
  const clean = JSON.parse(await readFile(join(dir, 'data/log/app.db.ltx/clean.json'), 'utf8')) as object
  expect(clean).toBeTypeOf('object')
})

test('a node that dies rejects `ended`', async () => {
  const printed = await run(`
    const node = await startNode(options)
    process.kill(node.pid, 'SIGKILL')
    console.log(await node.ended.catch((error) => error.code + ': ' + error.message))
    await node.stop().catch((error) => console.log(error.code))
  `)
  expect(printed).toBe(`NODE_FAILED: the node's process ended unexpectedly (SIGKILL)\nNODE_FAILED\n`)
})

test('a failed start throws the error of the command, and leaves nothing behind', async () => {
  await writeFile(mount, '')
  await writeFile(join(dir, 'ltxd.yml'), 'fuse: { colour: blue }')
  const printed = await run(`
    const fail = (more) => startNode({ ...options, ...more }).catch((error) => console.log(error instanceof LtxdError, error.code, error.exitCode))
    await fail({})
    await fail({ config: dir + '/ltxd.yml' })
    await fail({ backup: 'nonsense' })
  `)
  expect(printed).toBe('true MOUNT_NOT_DIRECTORY 1\ntrue CONFIG_INVALID 2\ntrue CONFIG_INVALID 2\n')
})

test('a start can be aborted', async () => {
  const printed = await run(`
    const controller = new AbortController()
    const starting = startNode({ ...options, signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    console.log(await starting.catch((error) => error.message))
    const node = await startNode(options)
    await node.stop()
    console.log('stopped')
  `)
  expect(printed).toBe('changed my mind\nstopped\n')
  expect(isMounted(mount)).toBe(false)
})

test('signals to the program stop its node', async () => {
  const path = await program(`
    const node = await startNode(options)
    console.log('pid', node.pid)
    await node.ended
    console.log('ended')
  `)
  const child = spawn(process.execPath, [path], { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
  const exited = new Promise((resolve) => child.once('exit', resolve))
  await until('a node', LIMIT_MS, () => /pid \d+\n/.test(printed))
  signalProcess(Number(/pid (\d+)/.exec(printed)?.[1]), 'SIGTERM')
  expect(await exited).toBe(0)
  expect(printed).toMatch(/ended\n$/)
})
