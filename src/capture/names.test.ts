import fs from 'node:fs'
import { describe, expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { native } from '../util/path-bytes.ts'
import { DatabaseFilter } from './database-filter.ts'

const NEW = { create: true, exclusive: false, readOnly: false }
const THERE = { create: false, exclusive: false, readOnly: false }
const MODES = ['delete', 'truncate', 'persist', 'wal', 'memory', 'off']
const NAMES = [
  'my-journal',
  'my-wal',
  'my-shm',
  'my-pos',
  'my-halt',
  'my-mj0A1B2C9D3',
  'my-journal-journal',
  'sub/my-wal-wal',
  'tab\tname.db',
  'n'.repeat(241),
  'データベース'.repeat(5),
  `sub/${'b'.repeat(120)}${'я'.repeat(41)}`,
  '.ltxd-mine',
  'logs.ltx/a.db',
  'latin1-\udce9.db',
  '\udcff/a.db',
]
/** This SQLite takes only names that are UTF-8: test/plain-directory/names.test.ts has the others. */
const CASES = NAMES.filter((name) => name.isWellFormed()).flatMap((name) =>
  MODES.map((mode): [string, string] => [name, mode]),
)
const REJECTED = expect.stringMatching(/^a database was rejected: .*Choose another name/) as unknown

function rigWithFolders(...args: ConstructorParameters<typeof Rig>): Rig {
  const rig = new Rig(...args)
  for (const folder of ['sub', 'logs.ltx', '\udcff'])
    fs.mkdirSync(native(`${rig.node.root}/${folder}`), { recursive: true })
  return rig
}

function header(): Buffer {
  using source = new Rig()
  source.open('delete', 20).close()
  return source.backing('a.db')
}

function put(rig: Rig, name: string, bytes: Uint8Array, step = bytes.length): void {
  const file = rig.node.mount.open(name, NEW)
  try {
    for (let at = 0; at < bytes.length; at += step) file.write(bytes.subarray(at, at + step), at)
  } finally {
    file.close()
  }
}

describe('a name that no database can have', () => {
  test.each(CASES)('gets no database: %j, journal mode %s', (name, mode) => {
    using rig = rigWithFolders()
    const connection = rig.engine.open(name)
    expect(() => {
      connection.exec(`PRAGMA journal_mode = ${mode}`)
      connection.exec('CREATE TABLE t (a)')
    }).toThrow()
    expect(rig.node.complaints()).toContainEqual(REJECTED)
    expect(Array.from(rig.node.volume.list()).filter(({ tracked }) => tracked)).toEqual([])
    expect(fs.readdirSync(`${rig.dir}/log`)).toEqual([])
  })

  test.each(NAMES)('is a plain file’s name: %j', (name) => {
    using rig = rigWithFolders()
    put(rig, name, Buffer.from('SQLite format 4, and other text'.repeat(20)), 7)
    rig.node.mount.rename(name, 'text')
    rig.node.mount.rename('text', name)
    expect(rig.backing(name).toString()).toMatch(/^SQLite format 4/)
    rig.node.mount.unlink(name)
    expect(rig.node.lines.filter(({ message }) => message.includes('rejected'))).toEqual([])
  })

  test.each(NAMES)('gets no database by a copy, in pieces of any size: %j', (name) => {
    using rig = rigWithFolders()
    const bytes = header()
    for (const step of [bytes.length, 100, 15, 1]) expect(() => put(rig, name, bytes, step)).toThrow(/another name/)
    rig.node.mount.unlink(name)
    const file = rig.node.mount.open(name, NEW)
    file.write(bytes.subarray(8), 8)
    expect(() => file.write(bytes.subarray(0, 8), 0)).toThrow(/another name/)
    file.close()
  })

  test.each(NAMES)('gets no database by a rename: %j', (name) => {
    using rig = rigWithFolders()
    rig.open('wal', 20).close()
    const position = rig.node.position('a.db')
    expect(() => rig.node.mount.rename('a.db', name)).toThrow(/another name/)
    expect(rig.node.position('a.db')).toEqual(position)
    rig.engine.open('a.db').exec(insert(21, 30))
    rig.consistent()
  })
})

test('a folder with databases is not renamed to a name that no database can have', () => {
  using rig = rigWithFolders()
  rig.open('delete', 5, 'sub/a.db').close()
  expect(() => rig.node.mount.rename('sub', 'tab\there')).toThrow(/control character/)
  expect(() => rig.node.mount.rename('sub', 'sub.ltx')).toThrow(/another name/)
  expect(() => rig.node.mount.rename('sub', 'sub\udcff')).toThrow(/another name/)
  rig.engine.open('sub/a.db').exec(insert(6, 10))
  rig.consistent('sub/a.db')
})

test('what was a plain file because of its folder’s name is captured when the folder gets another', () => {
  using rig = rigWithFolders()
  fs.writeFileSync(`${rig.node.root}/logs.ltx/a.db`, header())
  rig.node.mount.rename('logs.ltx', 'fine')
  expect(rig.txid('fine/a.db')).toBe(1)
  rig.engine.open('fine/a.db').exec(insert(21, 30))
  rig.consistent('fine/a.db')
})

test('a database beside plain files that bear the names of its side files’ side files is captured', () => {
  using rig = new Rig()
  for (const name of ['a.db-journal-journal', 'a.db-wal-wal', 'a.db-wal-journal']) put(rig, name, Buffer.from('text'))
  for (const mode of ['delete', 'truncate', 'persist', 'wal']) {
    const connection = rig.engine.open('a.db')
    connection.exec(`PRAGMA journal_mode = ${mode}; CREATE TABLE ${mode}_ (x); INSERT INTO ${mode}_ VALUES (1)`)
    connection.close()
    rig.consistent()
  }
  expect(rig.node.complaints()).toEqual([])
})

test('a plain file with the name of a journal becomes no journal of the database that comes later', () => {
  using rig = new Rig()
  put(rig, 'a.db-journal', Buffer.from('my diary'))
  const connection = rig.open('wal', 20)
  connection.exec(insert(21, 30))
  rig.consistent()
})

test('with other-files: refuse, a file of such a name cannot be opened', () => {
  using rig = rigWithFolders({ filter: new DatabaseFilter({ databases: ['**'], otherFiles: 'refuse' }) })
  for (const name of ['tab\tname.db', 'n'.repeat(241), 'my-journal-journal'])
    expect(() => rig.node.mount.open(name, NEW)).toThrow(/other-files/)
  rig.open('delete', 10).exec(insert(11, 20))
  rig.consistent()
})

test('a pattern that matches a side file’s name makes no database of it', () => {
  using rig = new Rig({ filter: new DatabaseFilter({ databases: ['*-wal'], otherFiles: 'serve' }) })
  const connection = rig.engine.open('my-wal')
  expect(() => connection.exec('CREATE TABLE t (a)')).toThrow()
  expect(rig.node.complaints()).toContainEqual(REJECTED)
})

test('a database of such a name from an older version is not served, with the reason; the others are', () => {
  using old = new Rig()
  for (const name of ['a.db', 'b.db']) old.open('delete', 10, name).close()
  fs.renameSync(`${old.node.root}/b.db`, `${old.node.root}/my-journal`)
  fs.renameSync(`${old.dir}/log/b.db.ltx`, `${old.dir}/log/my-journal.ltx`)
  fs.copyFileSync(`${old.node.root}/my-journal`, `${old.node.root}/without-log-wal`)
  using rig = new Rig({}, old.dir)
  expect(rig.node.database('my-journal').rejection).toMatch(/"-journal".*To keep it, stop the node, rename/)
  expect(() => rig.node.mount.open('my-journal', THERE)).toThrow(/not served/)
  const plain = rig.engine.open('without-log-wal')
  expect(plain.value('SELECT count(*) FROM t')).toBe(10)
  expect(() => plain.exec(insert(11, 20))).toThrow()
  rig.engine.open('a.db').exec(insert(11, 20))
  rig.consistent()
  // As the reason says.
  fs.renameSync(`${rig.node.root}/my-journal`, `${rig.node.root}/mine.db`)
  fs.rmSync(`${rig.dir}/log/my-journal.ltx`, { recursive: true })
  using again = new Rig({}, rig.dir)
  expect(again.engine.open('mine.db').value('SELECT count(*) FROM t')).toBe(10)
  again.consistent('mine.db')
})
