/**
 * A database belongs to an application that runs as another user than the node. Owner and mode stay through stops and
 * changes of role, and come with the database to replicas and from a backup, so that the application can continue to
 * write wherever the database is.
 */

import { spawn } from 'node:child_process'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { uploadTransactions } from '../../src/backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../../src/backup/testing.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { type Outcome, program } from '../cli/run.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { User } from '../harness/as-user.ts'
import { TestCluster } from '../harness/cluster.ts'
import { SEED } from '../harness/effort.ts'
import { LTXD_CLI, LtxdNode } from '../harness/ltxd-node.ts'
import { findS3Server, freePort, S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'

const missing = [...(findTool('consul') ? [] : ['consul']), ...(findS3Server('versitygw') ? [] : ['versitygw'])]
const UID = 65534
const AS_APPLICATION = ['--reuid=65534', '--regid=65534', '--clear-groups', 'timeout', '60']
/** Names of databases below `app/`, which belongs to the application. */
const DATABASES = { 'wal.db': 'wal', 'del.db': 'delete' } as const

const asApplication = (...argv: string[]) => program('setpriv', [...AS_APPLICATION, ...argv])
const sql = (database: string, text: string) =>
  asApplication('sqlite3', '-bail', '-cmd', '.timeout 20000', database, text)

/** `uid:gid:mode` of what the mount shows. */
function shown(path: string): string {
  const { uid, gid, mode } = lstatSync(path)
  return `${uid}:${gid}:${(mode & 0o7777).toString(8)}`
}

/** Of the directory and of both databases. */
const shownOn = (mount: string) =>
  ['app', ...Object.keys(DATABASES).map((name) => `app/${name}`)].map((name) => shown(join(mount, name)))

/** The application makes its directory and its databases. */
async function create(mount: string): Promise<void> {
  const made = await program('sh', ['-c', `mkdir "$0"; chmod 750 "$0"; chown ${UID}:${UID} "$0"`, join(mount, 'app')])
  expect(made).toMatchObject({ code: 0 })
  for (const [name, mode] of Object.entries(DATABASES)) {
    const path = join(mount, 'app', name)
    expect(
      await sql(path, `PRAGMA journal_mode = ${mode}; CREATE TABLE t (x); INSERT INTO t VALUES (1)`),
    ).toMatchObject({ code: 0 })
    expect(await asApplication('chmod', '640', path)).toMatchObject({ code: 0 })
  }
}

/** One more row in each database, by the application. The connections end, so that the files beside them end, too. */
async function writeOn(mount: string): Promise<Outcome[]> {
  const all: Outcome[] = []
  for (const name of Object.keys(DATABASES)) {
    const path = join(mount, 'app', name)
    all.push(
      await until(`a write to ${path}`, 60_000, async () => {
        const outcome = await sql(path, 'INSERT INTO t SELECT max(x) + 1 FROM t')
        return outcome.code === 0 && outcome
      }),
    )
  }
  return all
}

async function hasRows(mount: string, rows: number): Promise<void> {
  for (const name of Object.keys(DATABASES)) {
    const path = join(mount, 'app', name)
    await until(
      `${rows} rows in ${path}`,
      60_000,
      async () => (await sql(path, 'SELECT count(*) FROM t')).stdout === `${rows}\n`,
    )
  }
}

const CREATED = [`${UID}:${UID}:750`, `${UID}:${UID}:640`, `${UID}:${UID}:640`]
const NARROWED = [`${UID}:${UID}:750`, `${UID}:${UID}:600`, `${UID}:${UID}:600`]

describe.skipIf(!IS_ROOT)('owner and mode of databases', () => {
  let dir: string
  let nodes: LtxdNode[]

  beforeEach(async () => {
    dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-owners-')))
    await chmod(dir, 0o755)
    nodes = []
  })

  afterEach(async () => {
    for (const node of nodes) await node.destroy()
    await rm(dir, { recursive: true, force: true })
  })

  const leading = (mount: string) =>
    until(
      'a primary',
      60_000,
      async () => (await program('sqlite3', [join(mount, 'x.db'), 'PRAGMA user_version = 1'])).code === 0,
    )

  async function start(name: string, yaml: string, port = 0, fuse = 'uid: null'): Promise<LtxdNode> {
    const config = join(dir, `${name}.yml`)
    await writeFile(config, `fuse: { allow-other: true, ${fuse} }\n${yaml}`)
    const options = {
      mount: join(dir, `${name}-mnt`),
      data: join(dir, `${name}-data`),
      logFile: join(dir, `${name}.log`),
    }
    const started = LtxdNode.start({
      ...options,
      http: `127.0.0.1:${port}`,
      arguments: ['--config', config],
    })
    nodes.push(started)
    await started.mounted()
    return started
  }

  test('stay over a clean stop, come to a replica, follow a chmod at once, and come back from a directory', async () => {
    const port = await freePort()
    const backup = `backup: { url: "file://${dir}/backup", sync-interval: 100ms }`
    const primary = `lease: { type: static }\n${backup}`
    const one = await start('one', primary, port)
    const { mount } = one.options
    await leading(mount)
    await create(mount)
    const replica = `lease: { type: static, candidate: false, advertise-url: "http://127.0.0.1:${port}" }`
    const two = await start('two', replica)
    await hasRows(two.options.mount, 1)
    expect(shownOn(two.options.mount)).toEqual(CREATED)

    for (const name of Object.keys(DATABASES)) await asApplication('chmod', '600', join(mount, 'app', name))
    await until('the new mode on the replica', 60_000, () => shownOn(two.options.mount).join() === NARROWED.join())
    expect(shown(join(two.options.mount, 'app/wal.db-wal'))).toBe(`${UID}:${UID}:600`)

    await one.stop()
    const again = await start('one', primary, port)
    expect(shownOn(mount)).toEqual(NARROWED)
    await writeOn(mount)
    await hasRows(two.options.mount, 2)
    expect(shownOn(two.options.mount)).toEqual(NARROWED)
    await again.stop()

    const three = await start('three', backup)
    expect(shownOn(three.options.mount)).toEqual(NARROWED)
    await writeOn(three.options.mount)
    await hasRows(three.options.mount, 3)
    for (const { logFile } of [one.options, two.options, three.options]) {
      expect(readFileSync(logFile, 'utf8')).not.toContain('keeps the owner')
    }
  })

  test('another database of the same name is a new file on a replica, if fewer may open it', async () => {
    const port = await freePort()
    const one = await start('one', 'lease: { type: static }', port)
    const { mount } = one.options
    await leading(mount)
    expect(await program('chmod', ['1777', mount])).toMatchObject({ code: 0 })
    expect(await sql(join(mount, 'a.db'), 'CREATE TABLE t (x); INSERT INTO t VALUES (1)')).toMatchObject({ code: 0 })
    const replica = `lease: { type: static, candidate: false, advertise-url: "http://127.0.0.1:${port}" }`
    const { mount: seen } = (await start('two', replica)).options
    const rows = (of: string) => program('sqlite3', [of, 'SELECT * FROM t'])
    await until('the database on the replica', 60_000, async () => (await rows(join(seen, 'a.db'))).stdout === '1\n')
    await until('its owner', 60_000, () => lstatSync(join(seen, 'a.db')).uid === UID)
    const [command, ...args] = ['sh', '-euc', 'exec 3<> a.db; echo held; read line; cat <&3; echo; echo end']
    const holder = spawn('setpriv', [...AS_APPLICATION, command, ...args], { cwd: seen })
    try {
      const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]()
      expect((await lines.next()).value).toBe('held')
      await one.stop()
      for (const each of ['files/a.db', 'log/a.db.ltx']) await rm(join(one.options.data, each), { recursive: true })
      await start('one', 'lease: { type: static }', port)
      await leading(mount)
      const text = `CREATE TABLE t (x); INSERT INTO t VALUES ('only-for-root')`
      const umask = await program('sh', ['-euc', 'umask 077; sqlite3 "$0" "$1"', join(mount, 'a.db'), text])
      expect(umask).toMatchObject({ code: 0 })
      await until('the other database on the replica', 60_000, async () =>
        (await rows(join(seen, 'a.db'))).stdout.includes('only-for-root'),
      )
      expect(shown(join(seen, 'a.db'))).toBe('0:0:600')
      holder.stdin.write('look\n')
      const read: string[] = []
      for (let line = await lines.next(); line.done !== true && line.value !== 'end'; line = await lines.next())
        read.push(line.value)
      expect(read.join('\n')).toContain('SQLite format 3')
      expect(read.join('\n')).not.toContain('only-for-root')
    } finally {
      holder.kill('SIGKILL')
    }
  })

  test('fuse.uid, fuse.gid and fuse.mode of a replica override what comes, and leave what its applications made', async () => {
    const port = await freePort()
    const one = await start('one', 'lease: { type: static }', port)
    await leading(one.options.mount)
    await create(one.options.mount)
    const replica = `lease: { type: static, candidate: false, advertise-url: "http://127.0.0.1:${port}" }`
    const two = await start('two', replica, 0, 'uid: 7, mode: "0660"')
    const { mount } = two.options
    await until('the databases', 60_000, () =>
      Object.keys(DATABASES).every((name) => existsSync(join(mount, 'app', name))),
    )
    await until('their owner', 60_000, () => shown(join(mount, 'app/del.db')) === `7:${UID}:660`)
    expect(shownOn(mount)).toEqual([`7:${UID}:770`, `7:${UID}:660`, `7:${UID}:660`])
    expect(shownOn(one.options.mount)).toEqual(CREATED)
  })

  test.skipIf(!findTool('fusermount3'))(
    'a node that is not root serves what it cannot give away, and says so once',
    async () => {
      const user = new User()
      try {
        const store = openObjectStore(`file://${user.home}/backup`)
        const played = new PlayedDatabase('a.db', seeded(SEED))
        played.commit(3)
        const owner = () => ({ file: { uid: 12, gid: 34, mode: 0o644 }, folders: [] })
        const zero = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
        await uploadTransactions(store, 'a.db', played, zero, played.position().txid, { owner })
        await store.close()
        expect(await program('chown', ['-R', `${user.uid}:${user.uid}`, `${user.home}/backup`])).toMatchObject({
          code: 0,
        })
        const mount = user.directory('mnt')
        const about = ['--data', `${user.home}/data`, '--backup', `file://${user.home}/backup`, '--http', '127.0.0.1:0']
        const application = ['sh', '-c', 'stat -c %u:%g:%a "$LTXD_MOUNT/a.db" && head -c 15 "$LTXD_MOUNT/a.db"']
        const node = [user.node, user.seen(LTXD_CLI), 'mount', mount, ...about, '--', ...application]
        const { code, stdout, stderr } = await program(...user.command(node))
        expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: `${user.uid}:${user.uid}:600\nSQLite format 3` })
        const lines = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('keeps the owner'))
        expect(lines).toEqual([expect.stringMatching(/a\.db.*600 stays, not 12:34 with mode 0644: only root can/)])
      } finally {
        user.remove()
      }
    },
  )
})

describe.skipIf(!IS_ROOT || missing.length > 0)('with Consul and S3, owner and mode of databases', () => {
  test('come to a replica that is promoted, and back from the bucket to an empty disk', async () => {
    const server = await S3Server.start('versitygw')
    Object.assign(process.env, server.environment)
    const config = 'fuse: { allow-other: true }\n'
    const cluster = await TestCluster.start({ nodes: 2, backup: await server.freshUrl(), config })
    try {
      await program('chmod', ['755', cluster.dir])
      const first = await cluster.primary()
      const second = cluster.members.find((member) => member !== first) ?? first
      await create(first.mount)
      await hasRows(second.mount, 1)
      // The replica follows while the databases are made, so their last mode comes after their rows.
      await until('the modes on the replica', 60_000, () => shownOn(second.mount).join() === CREATED.join())
      await first.node.stop()
      await writeOn(second.mount)
      expect(shownOn(second.mount)).toEqual(CREATED)
      await second.node.stop()
      await second.restart({ fresh: true })
      await second.node.mounted()
      await writeOn(second.mount)
      expect(shownOn(second.mount)).toEqual(CREATED)
      await hasRows(second.mount, 3)
    } finally {
      await cluster.stop()
      await server.stop()
    }
  })
})
