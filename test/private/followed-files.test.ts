/**
 * `ltxd follow` run by root in a directory of another user, who makes links there, and renames and replaces files. He
 * gets nothing of what may only root read, and no file of root's elsewhere is touched.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Source } from '../../src/apply/testing.ts'
import { uploadTransactions } from '../../src/backup/ship/upload.ts'
import { BackupSource } from '../../src/follow/backup-source.ts'
import { Follower } from '../../src/follow/follower.ts'
import { SourceLog } from '../../src/follow/testing.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { DirectoryStore } from '../../src/objectstore/directory/store.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { User } from '../harness/as-user.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { NOBODY } from './nobody.ts'

const UID = 65_534
const SECRET = 'content-for-root-alone'
const asRoot = test.runIf(IS_ROOT)
let dir = ''
/** Belongs to nobody. */
let home = ''
const open: { close(): void }[] = []

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-followed-')))
  fs.chmodSync(dir, 0o755)
  home = join(dir, 'home')
  fs.mkdirSync(home)
  fs.chownSync(home, UID, UID)
})

afterEach(() => {
  for (const one of open.splice(0)) one.close()
  fs.rmSync(dir, { recursive: true, force: true })
})

/** A database with a backup of its own. */
class Shipped {
  readonly store: DirectoryStore
  readonly #source: Source
  readonly #name: string
  #uploaded = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 } as Parameters<
    typeof uploadTransactions
  >[3]

  constructor(name: string, backup: string) {
    this.#name = name
    this.store = new DirectoryStore(join(dir, backup))
    this.#source = new Source(join(dir, `source-${name}-${backup}`))
    open.push(this.#source)
  }

  async commit(sql: string): Promise<void> {
    this.#source.commit(sql)
    const log = new SourceLog(this.#name, this.#source)
    this.#uploaded = await uploadTransactions(this.store, this.#name, log, this.#uploaded, log.position().txid)
  }

  /** A follower into the file, and what it reports. */
  into(path: string): { follower: Follower; events: string[] } {
    const events: string[] = []
    const follower = new Follower({
      source: new BackupSource(this.store, this.#name),
      path,
      report: ({ event }) => events.push(event),
      signal: new AbortController().signal,
    })
    open.push(follower)
    return { follower, events }
  }

  /** What one run of `ltxd follow --once` reports. */
  async follow(path: string): Promise<string[]> {
    const { follower, events } = this.into(path)
    await follower.pass()
    follower.close()
    return events
  }
}

async function shipped(name: string, backup = 'backup'): Promise<Shipped> {
  const database = new Shipped(name, backup)
  await database.commit('PRAGMA journal_mode = wal; CREATE TABLE t (v)')
  return database
}

function asNobody(script: string): string {
  const [command, ...args] = NOBODY
  return execFileSync(command, [...args, 'sh', '-c', script], { cwd: home, encoding: 'utf8', timeout: 20_000 })
}

/** What nobody can read of a secret in his directory. */
const leaks = () => asNobody(`grep -rlas ${SECRET} . || true`)

/** Every name below a directory, with all that a change would show in. */
function picture(directory: string): string[] {
  return fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => {
    const { mode, uid, size, mtimeMs, ctimeMs } = fs.lstatSync(join(directory, name))
    return [name, mode, uid, size, mtimeMs, ctimeMs].join(' ')
  })
}

asRoot('through a link of another user nothing is made, opened, or renamed', async () => {
  const database = await shipped('a.db')
  const victim = join(dir, 'victim')
  await database.follow(join(victim, 'there.db'))
  const before = picture(victim)
  asNobody(`ln -s ${victim} link`)
  for (const name of ['new.db', 'below/new.db', 'there.db']) {
    await expect(database.follow(join(home, 'link', name))).rejects.toThrow(/symbolic link of the user with id 65534/)
  }
  expect(picture(victim)).toEqual(before)
})

asRoot('a link that takes the place of the directory while it is followed into leads nowhere', async () => {
  const database = await shipped('a.db')
  const victim = join(dir, 'victim')
  await database.follow(join(victim, 'copy.db'))
  const before = picture(victim)
  asNobody('mkdir open')
  const path = join(home, 'open', 'copy.db')
  const { follower, events } = database.into(path)
  await follower.pass()
  asNobody(`mv open moved && ln -s ${victim} open`)
  await database.commit(`INSERT INTO t VALUES ('${SECRET}')`)
  await follower.pass()
  await database.commit('PRAGMA journal_mode = delete; PRAGMA page_size = 1024; VACUUM')
  await follower.pass()
  follower.close()
  expect(events).toEqual(['restored', 'following', 'applied', 'resyncing', 'restored', 'kept'])
  expect(picture(victim)).toEqual(before)
  expect(fs.readFileSync(join(home, 'moved', 'copy.db'), 'latin1')).toContain(SECRET)
  expect(leaks()).toBe('')
})

/** A public database, and one for root alone, both followed in nobody's directory. */
async function twoFollowed() {
  const [pub, sec] = [await shipped('pub.db'), await shipped('sec.db')]
  for (const [name, database] of Object.entries({ pub, sec })) await database.follow(join(home, `${name}.db`))
  fs.chmodSync(join(home, 'pub.db'), 0o644)
  return { pub, sec }
}

const attacks: [what: string, script: string][] = [
  [
    'a copy of a public file of his own, with root’s record of that file',
    `cp pub.db mine; chmod 666 mine; mkdir old; mv sec.db* old/; mv pub.db-ltxd sec.db-ltxd; mv mine sec.db`,
  ],
  ['root’s public file with its record', 'mkdir old; mv sec.db* old/; mv pub.db sec.db; mv pub.db-ltxd sec.db-ltxd'],
  ['a copy of his own, beside the record that belongs there', 'cp pub.db mine; chmod 666 mine; mv -f mine sec.db'],
  ['root’s public file, beside the record that belongs there', 'mv -f pub.db sec.db'],
]

test.runIf(IS_ROOT).each(attacks)('%s in the place of the followed file opens nothing', async (_, script) => {
  const { sec } = await twoFollowed()
  asNobody(script)
  await sec.commit(`INSERT INTO t VALUES ('${SECRET}')`)
  expect(await sec.follow(join(home, 'sec.db'))).toEqual(['resyncing', 'restored', 'kept'])
  await sec.commit(`PRAGMA journal_mode = delete; PRAGMA page_size = 1024; VACUUM`)
  await sec.follow(join(home, 'sec.db'))
  const { uid, mode } = fs.statSync(join(home, 'sec.db'))
  expect({ uid, mode: (mode & 0o777).toString(8) }).toEqual({ uid: 0, mode: '600' })
  expect(leaks()).toBe('')
})

asRoot.each([
  ['another directory', 'mkdir old; mv d2/app.db* old/; mv d1/app.db* d2/'],
  ['its directory', 'mv d2 old; mv d1 d2'],
])('root’s public file of another backup, moved with its record and with %s, opens nothing', async (_, script) => {
  const pub = await shipped('app.db', 'public')
  const sec = await shipped('app.db', 'secret')
  asNobody('mkdir d1 d2')
  const [first, second] = ['d1', 'd2'].map((name) => join(home, name, 'app.db')) as [string, string]
  await pub.follow(first)
  await sec.follow(second)
  fs.chmodSync(first, 0o644)
  asNobody(script)
  await sec.commit(`INSERT INTO t VALUES ('${SECRET}')`)
  expect(await sec.follow(second)).toEqual(['resyncing', 'restored', 'kept'])
  expect(fs.statSync(second).mode & 0o777).toBe(0o600)
  expect(leaks()).toBe('')
})

asRoot('a record of a version that bound it to no file counts in a directory of root’s alone', async () => {
  const { pub, sec } = await twoFollowed()
  const unbind = (path: string) => {
    const text = fs.readFileSync(path, 'latin1')
    fs.writeFileSync(path, text.slice(text.lastIndexOf('\n', text.length - 2) + 1), 'latin1')
    expect(fs.statSync(path).size).toBe(34)
  }
  unbind(join(home, 'sec.db-ltxd'))
  expect(await sec.follow(join(home, 'sec.db'))).toEqual(['resyncing', 'restored', 'kept'])
  expect(await sec.follow(join(home, 'sec.db'))).toEqual(['following'])
  fs.chownSync(home, 0, 0)
  unbind(join(home, 'pub.db-ltxd'))
  expect(await pub.follow(join(home, 'pub.db'))).toEqual(['following'])
})

asRoot('a file of root’s that is moved to the name of the restore is neither opened nor taken for it', async () => {
  const { pub, sec } = await twoFollowed()
  await sec.commit(`INSERT INTO t VALUES ('${SECRET}')`)
  await sec.follow(join(home, 'sec.db'))
  await pub.commit('PRAGMA journal_mode = delete; PRAGMA page_size = 1024; VACUUM')
  const { follower } = pub.into(join(home, 'pub.db'))
  const rename = fs.renameSync
  // Between the restore and its new name.
  fs.renameSync = (from, to) => {
    fs.renameSync = rename
    asNobody('mv -f sec.db pub.db.ltxd-incoming')
    rename(from, to)
  }
  await follower.pass().catch(() => undefined)
  fs.renameSync = rename
  await follower.pass().catch(() => undefined)
  follower.close()
  expect(leaks()).toBe('')
})

asRoot('on a file system that shows another owner, nothing is restored, moved away, or left behind', async () => {
  const database = await shipped('a.db')
  const path = join(home, 'copy.db')
  const { fstatSync } = fs
  const asShown = <T>(stats: T) => Object.assign(stats as object, { uid: UID, gid: UID }) as T
  const shown = async (run: () => Promise<unknown>) => {
    fs.fstatSync = ((...args: Parameters<typeof fstatSync>) => asShown(fstatSync(...args))) as typeof fstatSync
    try {
      return await run()
    } finally {
      fs.fstatSync = fstatSync
    }
  }
  const message = /home: what user 0 makes there belongs to user 65534.* run ltxd as user 65534/
  for (let run = 0; run < 2; run++) await shown(() => expect(database.follow(path)).rejects.toThrow(message))
  expect(fs.readdirSync(home)).toEqual([])
  await database.follow(path)
  const before = picture(home)
  await shown(() => expect(database.follow(path)).rejects.toThrow(message))
  expect(picture(home)).toEqual(before)
})

asRoot('another user’s journal that the follower may not read keeps the database waiting, and is named', async () => {
  const database = await shipped('a.db')
  await database.commit('PRAGMA journal_mode = delete')
  fs.chmodSync(join(dir, 'backup'), 0o755)
  execFileSync('chmod', ['-R', 'a+rX', join(dir, 'backup')])
  const user = new User()
  open.push({ close: () => user.remove() })
  const path = join(user.home, 'copy.db')
  const [command, args] = user.command([
    ...[user.node, user.seen(LTXD_CLI), 'follow', '--once', `file://${join(dir, 'backup')}`, 'a.db', '-o', path],
  ])
  expect(spawnSync(command, args).status).toBe(0)
  fs.writeFileSync(`${path}-journal`, Buffer.alloc(600, 'junk'), { mode: 0o600 })
  fs.chownSync(`${path}-journal`, user.uid - 1, user.uid - 1)
  const follow = spawn(command, args)
  open.push({ close: () => follow.kill() })
  const ended = setTimeout(() => follow.kill(), 60_000)
  const line: unknown = (await createInterface(follow.stdout)[Symbol.asyncIterator]().next()).value
  clearTimeout(ended)
  expect(line).toMatch(
    /lagging.*copy\.db-journal belongs to user 65533, who may not write to the database: move it away/,
  )
})
