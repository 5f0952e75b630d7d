/**
 * The owner of the directory above a data directory puts a link to a directory of root's in its place while the node
 * runs. Nothing there is read, written or removed, and the node works on in the directory that it has.
 */

import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { removeAddress, writeAddress } from '../../src/api/address-file.ts'
import { type DataDirectory, openDataDirectory } from '../../src/data/directory.ts'
import { saveDiverged, saveRejected } from '../../src/data/diverged.ts'
import { finishRestored, installRestored, restoringPath } from '../../src/data/restored.ts'
import { Spool } from '../../src/data/spool.ts'
import { setAsideStrays } from '../../src/data/strays.ts'
import { LogReader } from '../../src/log/reader.ts'
import { createLog, listLogs, logDirectory, ZERO_POSITION } from '../../src/log/store.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { TwoNodes } from '../cluster/two-nodes.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { HANG_MS } from '../harness/effort.ts'
import { NOBODY } from './nobody.ts'

const FOLDERS = ['files', 'log/a.db.ltx', 'temporary/spool', 'hydrating', 'restored', 'diverged/a.db/1', 'strays']
const FILES = ['api.json', 'files/a.db', 'log/a.db.ltx/base.json', 'temporary/spool/0.ltx', 'hydrating/b.db']

/** A directory that looks like a data directory, with everything that a node would remove or replace. */
class Victim {
  readonly dir: string

  constructor(parent: string) {
    this.dir = join(parent, 'victim')
    for (const name of FOLDERS) fs.mkdirSync(join(this.dir, name), { recursive: true, mode: 0o700 })
    for (const name of FILES) fs.writeFileSync(join(this.dir, name), 'of root', { mode: 0o600 })
  }

  /** Every name with its content and all that a change would show in. */
  picture(): unknown {
    return fs.readdirSync(this.dir, { recursive: true, encoding: 'utf8' }).map((name) => {
      const { mode, uid, gid, size, mtimeMs, ctimeMs } = fs.lstatSync(join(this.dir, name))
      const content = size === 7 ? fs.readFileSync(join(this.dir, name), 'utf8') : ''
      return { name, mode, uid, gid, size, mtimeMs, ctimeMs, content }
    })
  }
}

let dir: string
let data: DataDirectory
let victim: Victim

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-swapped-data-')))
  victim = new Victim(dir)
  data = openDataDirectory(join(dir, 'data'))
})
afterEach(() => {
  data.close()
  fs.rmSync(dir, { recursive: true, force: true })
})

const POSITION = { txid: toTXID(5), checksum: ZERO_POSITION.checksum }
const read = async (stream: AsyncIterable<unknown>) => {
  for await (const each of stream) expect(each).toBeDefined()
}

const uses: [what: string, use: () => unknown][] = [
  ['the address of the API', () => removeAddress(data.files, data.dir)],
  ['what arrives', () => new Spool(data.files, `${data.dir}/temporary`).write(bytesOf('arrives'))],
  ['logs', () => listLogs(data.files, data.dir)],
  [
    'a log',
    () =>
      read(
        new LogReader(data.files, 'a.db', logDirectory(data.dir, 'a.db'), () => POSITION).records(toTXID(1), toTXID(5)),
      ).catch(() => undefined),
  ],
  ['the end of a log', () => new LogReader(data.files, 'a.db', logDirectory(data.dir, 'a.db'), () => POSITION).sync()],
  ['what diverges', () => saveDiverged(data, { database: 'a.db', position: POSITION, fork: undefined, reason: 'r' })],
  ['what is rejected', () => saveRejected(data, 'a.db', 'rejected')],
  ['a restore', () => installRestored(data, 'a.db', { position: POSITION, dropped: false })],
  ['restores of an earlier start', () => finishRestored(data, expect.unreachable)],
  [
    'journals below the mount point',
    () => setAsideStrays(join(dir, 'mnt'), { files: data.files, into: `${data.dir}/strays` }),
  ],
]

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text))
}

test.each(uses)('a link in the place of the data directory does not lead %s elsewhere', async (what, use) => {
  writeAddress(data.files, data.dir, { url: 'http://127.0.0.1:1', pid: 1 })
  createLog(data.files, logDirectory(data.dir, 'a.db'), ZERO_POSITION)
  fs.writeFileSync(`${data.root}/a.db`, 'of the node')
  data.files.makeDirectory(`${data.dir}/hydrating`)
  fs.writeFileSync(restoringPath(data, 'a.db'), 'restored')
  fs.mkdirSync(join(dir, 'mnt'))
  fs.writeFileSync(join(dir, 'mnt', 'x.db-journal'), 'stray')
  const before = victim.picture()
  fs.renameSync(data.dir, join(dir, 'moved'))
  fs.symlinkSync(victim.dir, data.dir)
  const files = () => fs.readdirSync(join(dir, 'moved'), { recursive: true })
  const had = files()
  await use()
  expect(victim.picture()).toEqual(before)
  if (!/log|restores/.test(what)) expect(files()).not.toEqual(had)
})

test.runIf(IS_ROOT)(
  'a replica and its primary work on, and stop, where the owner of what is above moves their data directories',
  { timeout: HANG_MS },
  async () => {
    await using nodes = await TwoNodes.start()
    const { primary, replica, cluster } = nodes
    const outside = new Victim(cluster.dir)
    const before = outside.picture()
    await nodes.shell(`chown 65534:65534 "$1"; chmod 755 "$1"`, cluster.dir)
    const swap = `for node in 1 2; do mv node-$node-data moved-$node; ln -s '${outside.dir}' node-$node-data; done`
    const swapped = await nodes.shell(`cd "$1" && exec ${NOBODY.join(' ')} sh -euc "$2"`, cluster.dir, swap)
    expect(swapped).toEqual({ code: 0, output: '' })
    for (const name of ['first.db', 'second.db']) {
      await using application = nodes.open(primary, name)
      await application.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)')
      // Too large for memory: it waits in a file.
      await application.exec('INSERT INTO t VALUES (randomblob(1000000))')
      await nodes.same(name)
    }
    for (const member of [replica, primary]) expect(await member.node.stop()).toEqual({ code: 0, signal: null })
    expect(outside.picture()).toEqual(before)
    for (const moved of ['moved-1', 'moved-2'])
      expect(fs.readdirSync(join(cluster.dir, moved))).not.toContain('api.json')
  },
)
