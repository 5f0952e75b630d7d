/** What has the name of a journal or WAL and is no file is named and left there, and nobody waits for it. */

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Source } from '../apply/testing.ts'
import { uploadTransactions } from '../backup/ship/upload.ts'
import { toTXID } from '../ltx/format/types.ts'
import { DirectoryStore } from '../objectstore/directory/store.ts'
import { BackupSource } from './backup-source.ts'
import { Follower } from './follower.ts'
import { SourceLog } from './testing.ts'

let root = ''
let path = ''
let source: Source
let store: DirectoryStore
let uploaded: Parameters<typeof uploadTransactions>[3]

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'ltxd-follow-special-'))
  path = join(root, 'copy.db')
  store = new DirectoryStore(join(root, 'backup'))
  source = new Source(join(root, 'source.db'))
  uploaded = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
})
afterEach(() => {
  source.close()
  fs.rmSync(root, { recursive: true, force: true })
})

async function commit(sql: string): Promise<void> {
  source.commit(sql)
  const log = new SourceLog('app.db', source)
  uploaded = await uploadTransactions(store, 'app.db', log, uploaded, log.position().txid)
}

/** A follower, and what its passes have reported. */
function following(): { follower: Follower; events: string[] } & Disposable {
  const events: string[] = []
  const report = ({ event }: { event: string }) => events.push(event)
  const { signal } = new AbortController()
  const follower = new Follower({ source: new BackupSource(store, 'app.db'), path, report, signal })
  return { follower, events, [Symbol.dispose]: () => follower.close() }
}

const KINDS: Readonly<Record<string, (name: string) => unknown>> = {
  'a named pipe': (name) => execFileSync('mkfifo', [name]),
  'a socket': async (name) => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(join(root, 'bound'), resolve))
    // Node removes the name of a server's own socket when the server ends.
    fs.renameSync(join(root, 'bound'), name)
    server.close()
  },
  'a device': (name) => execFileSync('mknod', [name, 'c', '1', '3']),
  'a directory': (name) => fs.mkdirSync(name),
}
const isRoot = process.geteuid?.() === 0
const CASES = Object.keys(KINDS)
  .filter((kind) => isRoot || kind !== 'a device')
  .flatMap((kind) =>
    ['-journal', '-wal'].flatMap((side) => ['wal', 'delete'].map((mode) => [kind, side, mode] as const)),
  )

test.each(CASES)('%s as %s of a followed file is named and stays, in %s mode', async (kind, side, mode) => {
  await commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (v)`)
  using first = following()
  expect(await first.follower.pass()).toBe(true)
  first.follower.close()
  const name = path + side
  await KINDS[kind]?.(name)
  const before = fs.lstatSync(name)
  const former = fs.readFileSync(path)
  await commit('INSERT INTO t VALUES (1)')
  using second = following()
  for (let i = 0; i < 2; i++)
    await expect(second.follower.pass()).rejects.toThrow(`${name} is ${kind}, and a regular file was expected`)
  second.follower.close()
  expect(second.events).toEqual([])
  expect(fs.lstatSync(name).ino).toBe(before.ino)
  expect(fs.readFileSync(path).equals(former)).toBe(true)
  fs.rmSync(name, { recursive: true })
  using third = following()
  expect(await third.follower.pass()).toBe(true)
  expect(third.events).toEqual(['following', 'applied'])
})

test.each(CASES.filter(([, side, mode]) => side === '-journal' && mode === 'delete'))(
  '%s that appears as %s while a file is followed is named and stays, in %s mode',
  async (kind, side, mode) => {
    await commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (v)`)
    using first = following()
    expect(await first.follower.pass()).toBe(true)
    const name = path + side
    await KINDS[kind]?.(name)
    const { ino } = fs.lstatSync(name)
    await commit('INSERT INTO t VALUES (1)')
    await expect(first.follower.pass()).rejects.toThrow(`${name} is ${kind}, and a regular file was expected`)
    expect(fs.lstatSync(name).ino).toBe(ino)
    first.follower.reset()
    fs.rmSync(name, { recursive: true })
    expect(await first.follower.pass()).toBe(true)
    expect(first.events).toEqual(['restored', 'following', 'following', 'applied'])
  },
)
