import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { QueueEvents } from 'bullmq'
import type { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { enqueue } from '../../workers/enqueue.ts'
import { KEY_PREFIX, type QueueName } from '../../workers/queues.ts'
import { type Outcome, program } from '../cli/run.ts'
import { BackgroundCommand } from '../harness/background.ts'
import { LTXD_CLI, LtxdNode } from '../harness/ltxd-node.ts'
import { processTree } from '../harness/processes.ts'
import { RedisServer } from '../harness/redis-server.ts'
import { freePort } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { modesBelow, others } from './modes.ts'
import { NOBODY } from './nobody.ts'
import { Prowler } from './prowler.ts'

/**
 * A database of mode 0600, over its whole life: what is derived from it is as secret as it is. Another user of the
 * machine is `nobody`.
 */

const CANARY = 'hunter2'

let dir: string
let nodes: LtxdNode[]
let prowlers: Prowler[]

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-private-')))
  // Everybody may look into it: what is in it must be closed by itself.
  chmodSync(dir, 0o755)
  nodes = []
  prowlers = []
})

afterEach(async () => {
  for (const prowler of prowlers) await prowler.stop()
  for (const node of nodes) await node.destroy()
  await rm(dir, { recursive: true, force: true })
})

interface Machine {
  readonly umask: string
  start(name: string, yaml: string, port?: number): Promise<LtxdNode>
  ltxd(...args: string[]): Promise<Outcome>
  sql(database: string, sql: string): Promise<Outcome>
}

/** Everything is run with one umask. */
async function machine(umask: string): Promise<Machine> {
  const shell = join(dir, 'with-umask')
  await writeFile(shell, `#!/bin/sh\numask ${umask}\nexec "$@"\n`, { mode: 0o755 })
  const node = join(dir, 'node')
  await writeFile(node, `#!/bin/sh\numask ${umask}\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 })
  return {
    umask,
    async start(name, yaml, port = 0) {
      const config = join(dir, `${name}.yml`)
      await writeFile(config, yaml)
      const options = { mount: join(dir, `${name}-mnt`), data: join(dir, `${name}-data`), logFile: join(dir, 'log') }
      const started = LtxdNode.start({ ...options, node, http: `127.0.0.1:${port}`, arguments: ['--config', config] })
      nodes.push(started)
      await started.mounted()
      await until('the API', 60_000, () => existsSync(join(options.data, 'api.json')))
      return started
    },
    ltxd: (...args) => program(shell, [process.execPath, LTXD_CLI, ...args]),
    sql: (database, sql) =>
      program(shell, ['timeout', '30', 'sqlite3', '-bail', '-cmd', '.timeout 20000', database, sql]),
  }
}

const asNobody = (...argv: string[]) => program(NOBODY[0], [...NOBODY.slice(1), 'timeout', '60', ...argv])

/** The files below these paths in which `nobody` finds the canary. */
async function readable(...paths: string[]): Promise<string[]> {
  const { stdout } = await asNobody('grep', '-rlsa', '--devices=skip', CANARY, ...paths)
  return stdout.split('\n').filter((line) => line !== '')
}

/** What /proc shows of the nodes and their helpers to `nobody`. */
async function readableOfProcesses(): Promise<string[]> {
  const pids = nodes.filter(({ running }) => running).flatMap(({ pid }) => processTree(pid))
  return readable(...pids.flatMap(filesOfProcess))
}

function filesOfProcess(pid: number): string[] {
  const names = ['cmdline', 'environ', 'fd', 'fdinfo', 'cwd', 'mem', 'map_files', 'root/nowhere']
  return names.map((name) => `/proc/${pid}/${name}`)
}

/** What a worker does with the backup: each of these jobs, and the file of a restore. */
async function throughWorker(umask: string, backup: string): Promise<void> {
  const redis = await RedisServer.start()
  const before = process.umask(Number.parseInt(umask, 8))
  const args = ['--redis', redis.url, '--store', `b=${backup}`, '--output-dir', join(dir, 'out')]
  const worker = new BackgroundCommand(['worker', ...args], join(dir, 'worker.log'))
  process.umask(before)
  const client = redis.client()
  try {
    await worker.said(/worker ready/)
    const base = { backup: 'b', database: 'secret.db' }
    await finished(client, redis, 'compact', { ...base, level: 1 })
    await finished(client, redis, 'snapshot', base)
    await finished(client, redis, 'restore', { ...base, output: { path: 'made.db' } })
    expect(await readable(dir, redis.dir, ...filesOfProcess(worker.pid))).toEqual([])
  } finally {
    client.disconnect()
    await worker.stop()
    await redis.stop()
  }
}

async function finished<Q extends QueueName>(
  client: Redis,
  redis: RedisServer,
  queue: Q,
  payload: Parameters<typeof enqueue<Q>>[2],
): Promise<void> {
  const connection = redis.client()
  const events = new QueueEvents(queue, { connection, prefix: KEY_PREFIX })
  try {
    await events.waitUntilReady()
    await (await enqueue(client, queue, payload)).waitUntilFinished(events, 60_000)
  } finally {
    await events.close()
    connection.disconnect()
  }
}

const SCHEDULE = `levels: [1s, 2s], snapshot: { interval: 2s, retention: 1h }, sync-interval: 100ms`

test.each(['000', '077'])(
  'with umask %s, nothing of a database of mode 0600 can be read or changed by another user, at any moment of its life',
  async (umask) => {
    const host = await machine(umask)
    const port = await freePort()
    const primary = `
      fuse: { allow-other: true }
      lease: { type: static }
      backup: { url: "file://${dir}/backup", ${SCHEDULE} }`
    for (const name of ['out', 'made', 'backup']) mkdirSync(join(dir, name), { mode: 0o700 })
    chmodSync(join(dir, 'made'), 0o755)
    await writeFile(join(dir, 'worker.log'), '', { mode: 0o600 })
    const prowler = Prowler.asNobody(CANARY, dir)
    const derived = ['one-data', 'two-data', 'three-data', 'backup', 'out'].map((name) => join(dir, name))
    const modes = Prowler.ofModes(0, ...derived)
    prowlers.push(prowler, modes)
    const one = await host.start('one', primary, port)
    const { mount, data } = one.options
    const secret = join(mount, 'secret.db')
    await program('sh', ['-c', `umask 077; : > ${secret}`])
    const leads = () => host.sql(secret, 'PRAGMA user_version = 1')
    await until('a primary', 60_000, async () => (await leads()).code === 0)
    const wrote = await host.sql(
      secret,
      `PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES ('${CANARY} in the WAL')`,
    )
    expect(wrote).toMatchObject({ code: 0 })
    const snapshots = join(dir, 'backup/secret.db/ltx/9')
    await until('a snapshot', 60_000, () => existsSync(snapshots) && readdirSync(snapshots).length > 0)

    const replica = await host.start(
      'two',
      `
      fuse: { allow-other: true }
      lease: { type: static, candidate: false, advertise-url: "http://127.0.0.1:${port}" }
      backup: { url: "file://${dir}/backup" }`,
    )
    expect(await host.sql(secret, `INSERT INTO t VALUES ('${CANARY} again')`)).toMatchObject({ code: 0 })
    const rows = () => host.sql(join(replica.options.mount, 'secret.db'), 'SELECT count(*) FROM t')
    await until('the replica', 60_000, async () => (await rows()).stdout === '2\n')

    // Until both were seen on their way: an upload, and a transaction that a replica spools.
    await until('transfers', 120_000, async () => {
      const wrote = await host.sql(secret, `UPDATE t SET x = '${CANARY}' || hex(randomblob(1000000))`)
      expect(wrote).toMatchObject({ code: 0 })
      return [/^saw .*\/spool\/N\.ltx/, /^saw .*\/\.ltxd-tmp-/].every((pattern) => modes.saw(pattern))
    })

    expect(await readable(dir)).toEqual([])
    expect(await readableOfProcesses()).toEqual([])

    await one.kill()
    const again = await host.start('one', primary, port)
    await until('a primary', 60_000, async () => (await leads()).code === 0)
    const journalled = `PRAGMA journal_mode = delete; INSERT INTO t VALUES ('${CANARY} in the journal')`
    expect(await host.sql(secret, journalled)).toMatchObject({ code: 0 })
    await until('the replica', 60_000, async () => (await rows()).stdout === '3\n')
    expect(await readable(dir)).toEqual([])
    await replica.stop()
    await again.stop()

    const three = await host.start('three', `fuse: { allow-other: true }\nbackup: { url: "file://${dir}/backup" }`)
    const hydrated = () => host.sql(join(three.options.mount, 'secret.db'), 'SELECT count(*) FROM t')
    expect(await hydrated()).toMatchObject({ stdout: '3\n' })
    await three.stop()

    const backup = `file://${dir}/backup`
    for (const args of [
      ['restore', backup, 'secret.db', '-o', `${dir}/made/restored.db`],
      ['follow', backup, 'secret.db', '-o', `${dir}/made/followed.db`, '--once'],
      ['compact', backup, 'secret.db'],
      ['snapshot', backup, 'secret.db'],
      ['recover', '--data', data],
      ['ltx', 'encode-db', `${dir}/made/restored.db`, '-o', `${dir}/made/encoded.ltx`],
      ['ltx', 'compact', `${dir}/made/encoded.ltx`, '-o', `${dir}/made/compacted.ltx`],
      ['ltx', 'apply', `${dir}/made/compacted.ltx`, '--db', `${dir}/made/applied.db`],
    ]) {
      expect(await host.ltxd(...args), args.join(' ')).toMatchObject({ code: 0 })
    }
    expect(await readable(dir)).toEqual([])

    await throughWorker(umask, backup)
    const made = [
      'out/made.db',
      ...['restored.db', 'followed.db', 'followed.db-ltxd', 'encoded.ltx', 'compacted.ltx', 'applied.db'].map(
        (name) => `made/${name}`,
      ),
    ]
    expect(made.flatMap((name) => others(modesBelow(join(dir, name)), '700', '600'))).toEqual([])
    const datas = [data, replica.options.data]
    expect(datas.flatMap((path) => others(modesBelow(path, [`${path}/files`]), '700', '600'))).toEqual([])
    expect(others(modesBelow(join(dir, 'backup')), '700', '600')).toEqual([])
    // Of the databases' own files the applications decide; a replica and a restore make them private.
    expect(modesBelow(join(replica.options.data, 'files')).get(`${replica.options.data}/files/secret.db`)).toBe(
      'file 600',
    )
    expect(modesBelow(join(data, 'files')).get(`${data}/files/secret.db`)).toBe('file 600')
    expect(prowler.saw(/^round /)).toBe(true)
    expect([...prowler.findings, ...modes.findings]).toEqual([])
  },
)

test('what version 0.1 left open to everybody is closed at the start, and said in one line; data.mode and backup.mode open it to a group', async () => {
  const host = await machine('022')
  const yaml = (mode: string) => `
    data: { ${mode} }
    backup: { url: "file://${dir}/backup", ${mode === '' ? '' : `${mode},`} ${SCHEDULE} }`
  const write = async (node: LtxdNode, n: number) => {
    await host.sql(join(node.options.mount, 'a.db'), `CREATE TABLE t${n} (x)`)
    await until('the backup', 60_000, async () => {
      const { stdout } = await host.ltxd('status', '--data', node.options.data, '--json')
      return (JSON.parse(stdout) as { databases: { backup?: { lagMs: number } }[] }).databases[0]?.backup?.lagMs === 0
    })
  }
  const first = await host.start('one', yaml(''))
  await write(first, 1)
  await first.stop()
  const { data, mount, logFile } = first.options
  const files = join(data, 'files')
  await program('sh', ['-c', `chmod -R u=rwX,go=rX '${data}' '${dir}/backup'`])
  const asWas = modesBelow(files)

  const second = await host.start('one', yaml(''))
  await write(second, 2)
  expect(others(modesBelow(data, [files]), '700', '600')).toEqual([])
  expect(others(modesBelow(join(dir, 'backup')), '700', '600')).toEqual([])
  expect(Array.from(modesBelow(files)).filter(([path, mode]) => asWas.get(path) !== mode && asWas.has(path))).toEqual(
    [],
  )
  await second.stop()
  const lines = readFileSync(logFile, 'utf8').split('\n')
  expect(lines.filter((line) => line.includes('0755'))).toEqual([
    expect.stringContaining(
      `the data directory ${data} had mode 0755: it and what ltxd made in it have 0700 now (data.mode`,
    ),
    expect.stringContaining(
      `the backup ${dir}/backup had mode 0755: it and what ltxd made in it have 0700 now (backup.mode`,
    ),
  ])

  const third = await host.start('one', yaml('mode: "0750"'))
  await write(third, 3)
  // Of a rollback journal nothing is left here, and temporary files are nobody's business.
  const temporary = join(data, 'temporary')
  expect(others(modesBelow(data, [files, temporary, join(data, 'lock')]), '750', '640')).toEqual([])
  expect(othersInBackup()).toEqual([])
  expect((await host.sql(join(mount, 'a.db'), 'SELECT count(*) FROM sqlite_schema')).stdout).toBe('3\n')
  await third.stop()
  // What knows no configuration leaves it so.
  expect(await host.ltxd('snapshot', `file://${dir}/backup`, 'a.db')).toMatchObject({ code: 0, stderr: '' })
  expect(othersInBackup()).toEqual([])

  /** Who may only read in a backup gets none of its locks. A stop within an upload may leave its temporary file. */
  function othersInBackup(): string[] {
    const all = Array.from(modesBelow(join(dir, 'backup')))
    const entries = all.filter(([path]) => !path.includes('/.ltxd-tmp-'))
    const isLock = (path: string) => path.endsWith('/.ltxd-lock')
    const locks = new Map(entries.filter(([path]) => isLock(path)))
    const rest = new Map(entries.filter(([path]) => !isLock(path)))
    return [...others(rest, '750', '640'), ...others(locks, '750', '600')]
  }
})
