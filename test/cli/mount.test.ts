import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { REPEAT_MS } from '../../src/supervisor/machine.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { detach, isMounted } from '../harness/mounts.ts'
import { signalProcess } from '../harness/processes.ts'
import { until, within } from '../harness/wait.ts'
import { ltxd, program } from './run.ts'

let cwd: string
let mount: string
let data: string
let nodes: LtxdNode[]

beforeEach(async () => {
  cwd = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-mount-')))
  mount = join(cwd, 'mnt')
  data = join(cwd, 'data')
  nodes = []
})

afterEach(async () => {
  for (const node of nodes) await node.destroy()
  await detach(mount)
  await rm(cwd, { recursive: true, force: true })
})

function start(command?: readonly string[], args: readonly string[] = []): LtxdNode {
  const options = { mount, data, logFile: join(cwd, 'log'), arguments: args }
  const node = LtxdNode.start(command === undefined ? options : { ...options, command })
  nodes.push(node)
  return node
}

const exitOf = (node: LtxdNode) => within('exit of ltxd', 60_000, node.exited)
const mountArgs = () => ['mount', mount, '--data', data, '--http', '127.0.0.1:0']

/** A program that writes `ready` once it runs, and then the signals that it receives. */
function listener(reaction: string): string[] {
  const script = `
    const fs = require('node:fs')
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {
      fs.appendFileSync('told', signal + ' ')
      if (signal !== 'SIGHUP') { ${reaction} }
    })
    fs.writeFileSync('ready', process.env.LTXD_MOUNT)
    setInterval(() => {}, 1000)`
  return ['sh', '-c', `cd '${cwd}' && exec '${process.execPath}' -e "$0"`, script]
}

const ready = () => until('start of the application', 60_000, () => existsSync(join(cwd, 'ready')))
const told = () => readFile(join(cwd, 'told'), 'utf8')
/** Waits until the log has this many completed starts. */
const serving = (starts: number) =>
  until(
    'the node serves',
    60_000,
    async () => (await readFile(join(cwd, 'log'), 'utf8')).split('serving').length > starts,
  )
const lastLogLine = async () => (await readFile(join(cwd, 'log'), 'utf8')).trim().split('\n').at(-1) ?? ''

describe('the application', () => {
  test('runs on the mount and sets the exit code, and its end unmounts', async () => {
    const { code } = await ltxd([...mountArgs(), '--', 'sh', '-c', 'echo hi > "$LTXD_MOUNT/note" && exit 5'])
    expect(code).toBe(5)
    expect(isMounted(mount)).toBe(false)
    expect(await readFile(join(data, 'files', 'note'), 'utf8')).toBe('hi\n')
  })

  test('killed by a signal sets exit code 128 plus its number; one that does not exist sets 127', async () => {
    expect((await ltxd([...mountArgs(), '--', 'sh', '-c', 'kill -9 $$'])).code).toBe(137)
    const missing = await ltxd([...mountArgs(), '--', 'no-such-program'])
    expect(missing.code).toBe(127)
    expect(missing.stderr).toContain('no-such-program')
    expect(isMounted(mount)).toBe(false)
  })

  test('receives SIGHUP and SIGTERM before the unmount, and sets the exit code', async () => {
    const node = start(listener('fs.writeFileSync(process.env.LTXD_MOUNT + "/last", "words"); process.exit(3)'))
    await ready()
    signalProcess(node.pid, 'SIGHUP')
    await until('SIGHUP', 60_000, async () => existsSync(join(cwd, 'told')) && (await told()) === 'SIGHUP ')
    signalProcess(node.pid, 'SIGTERM')
    expect(await exitOf(node)).toEqual({ code: 3, signal: null })
    expect(await told()).toBe('SIGHUP SIGTERM ')
    expect(await readFile(join(data, 'files', 'last'), 'utf8')).toBe('words')
    expect(isMounted(mount)).toBe(false)
  })

  test('that does not stop is killed after the grace period', async () => {
    await writeFile(join(cwd, 'ltxd.yml'), 'stop-timeout: 900ms\n')
    const node = start(listener(''), ['--config', join(cwd, 'ltxd.yml')])
    await ready()
    signalProcess(node.pid, 'SIGINT')
    expect(await exitOf(node)).toEqual({ code: 137, signal: null })
    expect(await told()).toBe('SIGINT SIGTERM ')
    expect(isMounted(mount)).toBe(false)
  })

  test('that ignores the first Ctrl-C is killed by the second, a second later', async () => {
    const node = start(listener(''))
    await ready()
    signalProcess(node.pid, 'SIGINT')
    await until('SIGINT', 60_000, () => existsSync(join(cwd, 'told')))
    await sleep(REPEAT_MS)
    signalProcess(node.pid, 'SIGINT')
    expect(await exitOf(node)).toEqual({ code: 137, signal: null })
    expect(isMounted(mount)).toBe(false)
  })
})

test('status finds the node by its data directory and shows its databases', async () => {
  const node = start()
  await node.mounted()
  await until('address of the API', 60_000, () => existsSync(join(data, 'api.json')))
  await program('sqlite3', [join(mount, 'a.db'), 'create table t(x)'])
  const { stdout, code } = await ltxd(['status', '--data', data, '--json'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    pid: node.pid,
    role: 'primary',
    mount: { dir: mount },
    databases: [{ name: 'a.db', position: expect.stringMatching(/^[0-9a-f]{16}\/[0-9a-f]{16}$/) as string }],
  })
  expect((await ltxd(['status', '--data', data])).stdout).toMatch(/^a\.db +[0-9a-f]{16}\/[0-9a-f]{16} /m)
  expect(await node.stop()).toEqual({ code: 0, signal: null })
  expect((await ltxd(['status', '--data', data])).code).toBe(1)
})

test('signals at the same moment, as a supervisor sends to process and group, are one request for a clean stop', async () => {
  const node = start()
  await serving(1)
  signalProcess(node.pid, 'SIGTERM')
  signalProcess(node.pid, 'SIGINT')
  signalProcess(node.pid, 'SIGTERM')
  expect(await exitOf(node)).toEqual({ code: 0, signal: null })
  expect(isMounted(mount)).toBe(false)
  expect(await lastLogLine()).toMatch(/ stopped cleanly: /)
})

test('the last log line of a clean stop says where the data is safe; after kill -9 there is no such line', async () => {
  const backup = `file://${join(cwd, 'backup')}`
  let node = start(undefined, ['--backup', backup])
  await serving(1)
  await program('sqlite3', [join(mount, 'a.db'), 'create table t(x); insert into t values (7)'])
  signalProcess(node.pid, 'SIGTERM')
  expect(await exitOf(node)).toEqual({ code: 0, signal: null })
  const line =
    / info {2}stopped cleanly: 1 database is a plain SQLite file in (.*); the backup (.*) has everything up to now$/
  const [, directory = '', url] = line.exec(await lastLogLine()) ?? []
  expect([directory, url]).toEqual([join(data, 'files'), backup])
  expect((await program('sqlite3', [join(directory, 'a.db'), 'select x from t'])).stdout).toBe('7\n')

  node = start(undefined, ['--backup', backup])
  await serving(2)
  signalProcess(node.pid, 'SIGKILL')
  expect(await exitOf(node)).toEqual({ code: null, signal: 'SIGKILL' })
  expect(await lastLogLine()).not.toMatch(/stopped/)
})

test('JSON log records carry the id of the node', async () => {
  const node = start(undefined, ['--log-format', 'json'])
  await serving(1)
  signalProcess(node.pid, 'SIGTERM')
  expect(await exitOf(node)).toEqual({ code: 0, signal: null })
  const { id } = JSON.parse(await readFile(join(data, 'node.json'), 'utf8')) as { id: string }
  const records = (await readFile(join(cwd, 'log'), 'utf8')).trim().split('\n')
  const ids = records.map((record) => (JSON.parse(record) as { node?: string }).node)
  expect(ids.length).toBeGreaterThan(2)
  expect(new Set(ids)).toEqual(new Set([id]))
})

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('a node alone stops cleanly at %s', async (signal) => {
  const node = start()
  await node.mounted()
  signalProcess(node.pid, signal)
  expect(await exitOf(node)).toEqual({ code: 0, signal: null })
  expect(isMounted(mount)).toBe(false)
})

test('a signal during the start stops the node', async () => {
  const node = start(listener(''))
  signalProcess(node.pid, 'SIGTERM')
  const { code, signal } = await exitOf(node)
  // Before its handlers are installed, the signal itself kills the process.
  expect(code ?? signal).toEqual(code === null ? 'SIGTERM' : 143)
  expect(isMounted(mount)).toBe(false)
})

describe('is rejected with exit code 1, and harms nothing:', () => {
  async function refused(message: RegExp, args = mountArgs()): Promise<void> {
    const { code, stderr } = await ltxd(args)
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/^ {4}at /m)
    expect(code).toBe(1)
  }

  test('a second node on the same data directory', async () => {
    await start().mounted()
    await refused(/ltxd: another ltxd uses the data directory/, ['mount', join(cwd, 'other'), '--data', data])
    expect(nodes[0]?.running).toBe(true)
  })

  test('a second node on the same mount', async () => {
    await start().mounted()
    await refused(/ltxd: another ltxd serves/, ['mount', mount, '--data', join(cwd, 'other')])
    expect(nodes[0]?.running).toBe(true)
  })

  test('a mount point that holds files', async () => {
    await mkdir(mount)
    await writeFile(join(mount, 'precious'), '')
    await refused(/ltxd: .*mnt is not empty/)
    expect(existsSync(join(mount, 'precious'))).toBe(true)
  })

  test('a data directory that is a file', async () => {
    await writeFile(data, '')
    await refused(/ltxd: .*data/)
    expect(isMounted(mount)).toBe(false)
  })

  test('a port that is taken', async () => {
    const node = start()
    await node.mounted()
    const address = join(data, 'api.json')
    await until('address of the API', 60_000, () => existsSync(address))
    const { host } = new URL((JSON.parse(await readFile(address, 'utf8')) as { url: string }).url)
    const other = join(cwd, 'other')
    await refused(/ltxd: port \d+ .* --http/, ['mount', other, '--data', join(cwd, 'd2'), '--http', host])
    expect(isMounted(other)).toBe(false)
  })

  test.skipIf(process.getuid?.() !== 0)('a data directory on a read-only file system', async () => {
    await mkdir(data)
    const inside = `mount -t tmpfs -o ro none '${data}' && exec "$0" "$@"`
    const cli = [process.execPath, join(import.meta.dirname, '../../dist/cli.js'), ...mountArgs()]
    const { code, stderr } = await program('unshare', ['-m', 'sh', '-c', inside, ...cli])
    expect(stderr).toMatch(/ltxd: the data directory .*data cannot be written/)
    expect(code).toBe(1)
  })

  test.skipIf(process.getuid?.() !== 0)('a machine without /dev/fuse', async () => {
    const inside = `mount -t tmpfs none /dev && exec "$0" "$@"`
    const cli = [process.execPath, join(import.meta.dirname, '../../dist/cli.js'), ...mountArgs()]
    const { code, stderr } = await program('unshare', ['-m', 'sh', '-c', inside, ...cli])
    expect(stderr).toMatch(/ltxd: there is no \/dev\/fuse; .*modprobe fuse/)
    expect(code).toBe(1)
  })
})
