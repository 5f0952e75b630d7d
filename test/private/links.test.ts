/**
 * A user of the mount makes symbolic links where databases and their directories are. The node, which runs as root,
 * touches nothing that they name, and serves everything else.
 */

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { program } from '../cli/run.ts'
import { TwoNodes } from '../cluster/two-nodes.ts'
import { IS_ROOT } from '../conformance/served.ts'
import type { ClusterMember } from '../harness/cluster.ts'
import { HANG_MS } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

/** The user of the applications. */
const DAEMON = ['setpriv', '--reuid=1', '--regid=1', '--clear-groups']
const SECRET = 'content-of-another-user'

/** Files of root's, which no user of the mount can read. */
class Outside {
  readonly dir: string

  constructor(parent: string) {
    this.dir = join(parent, 'outside')
    mkdirSync(this.dir, { mode: 0o700 })
    writeFileSync(join(this.dir, 'root.conf'), SECRET, { mode: 0o600 })
    writeFileSync(join(this.dir, 'empty'), '', { mode: 0o600 })
    for (const name of ['other.db', 'x.db']) {
      const database = new Sqlite(join(this.dir, name))
      database.exec(`CREATE TABLE t (x); INSERT INTO t VALUES ('${SECRET}')`)
      database.close()
      chmodSync(join(this.dir, name), 0o600)
    }
  }

  /** Every name with its content and all that a change would show in. */
  picture(): unknown {
    return readdirSync(this.dir).map((name) => {
      const path = join(this.dir, name)
      const { mode, uid, gid, size, mtimeMs, ctimeMs } = lstatSync(path)
      return { name, mode, uid, gid, size, mtimeMs, ctimeMs, content: readFileSync(path, 'latin1') }
    })
  }
}

/** Every file below the directories that has the text in it. */
function filesWith(text: string, ...directories: string[]): string[] {
  try {
    return execFileSync('grep', ['-rla', text, ...directories], { encoding: 'utf8', timeout: 60_000 })
      .trim()
      .split('\n')
  } catch {
    return [] // grep ends with 1 when it finds nothing.
  }
}

async function asDaemon(nodes: TwoNodes, mount: string, script: string): Promise<void> {
  const { code, output } = await nodes.shell(`cd "$1" && exec ${DAEMON.join(' ')} sh -euc "$2"`, mount, script)
  expect({ code, output }).toEqual({ code: 0, output: expect.any(String) as string })
}

const CONFIG = 'fuse:\n  allow-other: true\n'

test.runIf(IS_ROOT)('links on a replica lead the local client nowhere', { timeout: HANG_MS }, async () => {
  await using nodes = await TwoNodes.start({ config: CONFIG })
  const { primary, replica } = nodes
  const outside = new Outside(nodes.cluster.dir)
  const before = outside.picture()
  await nodes.shell('chown 1:1 "$1" "$2"', primary.mount, replica.mount)
  const names = ['side.db', 'dir/x.db', 'new.db', 'other.db', 'empty.db']
  await asDaemon(
    nodes,
    replica.mount,
    `ln -s '${outside.dir}/root.conf' side.db-shm; ln -s '${outside.dir}/root.conf' side.db-wal
     ln -s '${outside.dir}/root.conf' side.db-journal; ln -s '${outside.dir}' dir; ln -s '${outside.dir}/absent' new.db
     ln -s '${outside.dir}/other.db' other.db; ln -s '${outside.dir}/empty' empty.db`,
  )
  await asDaemon(nodes, primary.mount, 'mkdir dir')
  for (const round of [1, 2]) {
    for (const name of [...names, 'good.db']) {
      await using application = nodes.open(primary, name)
      await application.exec(round === 1 ? 'CREATE TABLE t (x)' : 'PRAGMA journal_mode = WAL')
      await application.exec("INSERT INTO t VALUES ('from the primary')")
    }
    await nodes.same('good.db')
    // The others were tried, and the log says why they are not there.
    for (const name of names) await until(`why ${name} is not there`, HANG_MS, () => says(replica, `${name}[^ ]* is `))
    expect(outside.picture()).toEqual(before)
  }
  expect(filesWith(SECRET, replica.data, primary.data)).toEqual([])
})

test.runIf(IS_ROOT)(
  'users of a replica displace no file of the node, and keep their own',
  { timeout: HANG_MS },
  async () => {
    await using nodes = await TwoNodes.start({ config: CONFIG })
    const { primary, replica } = nodes
    const outside = new Outside(nodes.cluster.dir)
    const before = outside.picture()
    await nodes.shell('chown 1:1 "$1" "$2"', primary.mount, replica.mount)
    await using application = nodes.open(primary, 'third.db')
    await application.exec('PRAGMA journal_mode = WAL')
    await application.exec('CREATE TABLE t (x)')
    await nodes.same('third.db')
    await nodes.shell('chown 2:2 "$1"/third.db*', replica.mount)
    const { pid } = replica.node
    // By this name the local client reaches the node. The number is a descriptor's, which everybody can guess.
    await asDaemon(
      nodes,
      replica.mount,
      `found=0; ln -s '${outside.dir}/root.conf' link
     for n in $(seq 0 99); do
       bell=.ltxd-doorbell-${pid}-$n
       [ -e $bell ] || continue
       found=1
       if mv -fT link $bell || rm -f $bell || mv $bell other; then exit 1; fi
     done
     [ $found = 1 ]`,
    )
    const [client] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
    process.kill(Number(client), 'SIGKILL')
    await application.exec("INSERT INTO t VALUES ('x')")
    await nodes.same('third.db')
    expect(outside.picture()).toEqual(before)
    for (const suffix of ['', '-wal', '-shm']) {
      const seen = await nodes.shell(`stat -c %u:%g "$1/third.db${suffix}"`, replica.mount)
      expect({ suffix, ...seen }).toMatchObject({ suffix, output: '2:2\n' })
    }
  },
)

test.runIf(IS_ROOT)(
  'a directory in the place of a replica’s WAL holds up that database alone, and sends nothing twice',
  { timeout: HANG_MS },
  async () => {
    await using nodes = await TwoNodes.start({ config: CONFIG })
    const { primary, replica } = nodes
    await nodes.shell('chown 1:1 "$1" "$2"', primary.mount, replica.mount)
    await asDaemon(nodes, replica.mount, 'mkdir -p dw.db-wal/kept')
    const attempts = () => logOf(replica).match(/applying a snapshot from the primary.*dw\.db/g)?.length ?? 0
    await using application = nodes.open(primary, 'dw.db')
    await application.exec('PRAGMA journal_mode = WAL')
    await application.exec('CREATE TABLE t (x)')
    await using other = nodes.open(primary, 'other.db')
    await other.exec('CREATE TABLE t (x)')
    await nodes.same('other.db')
    await until('the reason', HANG_MS, () => /dw\.db-wal is a directory/.test(logOf(replica)))
    expect(existsSync(join(replica.data, 'diverged', 'dw.db'))).toBe(false)
    await asDaemon(nodes, replica.mount, 'rm -r dw.db-wal')
    await nodes.same('dw.db')
    expect(attempts()).toBe(1)
  },
)

const logOf = ({ node }: ClusterMember) => readFileSync(node.options.logFile, 'utf8')

function says({ node }: ClusterMember, pattern: string): boolean {
  return new RegExp(`${pattern}.*symbolic link`).test(readFileSync(node.options.logFile, 'utf8'))
}

test.runIf(IS_ROOT)('after a crash, links in the place of databases are not read', { timeout: HANG_MS }, async () => {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'ltxd-links-')))
  const outside = new Outside(dir)
  const options = {
    ...{ mount: join(dir, 'mnt'), data: join(dir, 'data'), logFile: join(dir, 'log'), backup: `file://${dir}/backup` },
    arguments: ['--allow-other'],
  }
  let node = LtxdNode.start(options)
  try {
    await node.mounted()
    const sql = (name: string, text: string) =>
      program('timeout', ['30', 'sqlite3', '-bail', '-cmd', '.timeout 20000', join(options.mount, name), text])
    await program('timeout', ['30', 'mkdir', join(options.mount, 'dd')])
    const names = ['good.db', 'dd/x.db', 'other.db', 'wal.db', 'pipe.db', 'directory.db', 'device.db']
    for (const name of names) expect(await sql(name, 'CREATE TABLE t (x)')).toMatchObject({ code: 0 })
    const links = `cd '${options.mount}' && mv dd ddold && ln -s '${outside.dir}' dd && rm other.db &&
      ln -s '${outside.dir}/other.db' other.db && ln -s '${outside.dir}/root.conf' wal.db-wal`
    expect(await program('timeout', ['30', 'sh', '-euc', links])).toMatchObject({ code: 0 })
    const before = outside.picture()
    await node.destroy()
    // What no application can make on the mount.
    const files = join(options.data, 'files')
    execFileSync(
      'sh',
      ['-euc', 'rm pipe.db directory.db device.db; mkfifo pipe.db; mkdir directory.db; mknod device.db c 1 3'],
      {
        cwd: files,
      },
    )
    node = LtxdNode.start(options)
    await node.mounted()
    expect(await sql('good.db', "INSERT INTO t VALUES ('x'); SELECT count(*) FROM t")).toMatchObject({ stdout: '1\n' })
    expect(await sql('ddold/x.db', 'SELECT count(*) FROM t')).toMatchObject({ stdout: '0\n' })
    const log = readFileSync(options.logFile, 'utf8')
    for (const kind of ['a named pipe', 'a directory', 'a device']) expect(log).toContain(`is ${kind}`)
    await node.stop()
    expect(outside.picture()).toEqual(before)
    expect(filesWith(SECRET, options.data, join(dir, 'backup'))).toEqual([])
  } finally {
    await node.destroy()
    rmSync(dir, { recursive: true, force: true })
  }
})
