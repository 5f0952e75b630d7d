import fs from 'node:fs'
import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { sharesStem } from './short-names.ts'

const NEW = { create: true, exclusive: false, readOnly: false }
const JOURNAL = Buffer.from('d9d505f920a163d7000000000000000000000000', 'hex')

function put(rig: Rig, name: string, bytes: Uint8Array, step = bytes.length): void {
  const file = rig.node.mount.open(name, NEW)
  try {
    for (let at = 0; at < bytes.length; at += step) file.write(bytes.subarray(at, at + step), at)
  } finally {
    file.close()
  }
}

/** The WAL of a database, while it is open. */
function walOf(rig: Rig): Buffer {
  const connection = rig.open('wal', 20)
  try {
    return rig.backing('a.db-wal')
  } finally {
    connection.close()
  }
}

test.each([1, 5, 20])('no commit goes into a journal or WAL whose name SQLite shortened, in pieces of %d', (step) => {
  using rig = new Rig()
  const wal = walOf(rig)
  for (const [name, bytes] of [
    ['a.wal', wal],
    ['a.nal', JOURNAL],
  ] as const)
    expect(() => put(rig, name, bytes, step)).toThrow(/8_3_names/)
  rig.engine.open('a.db').exec(insert(21, 30))
  rig.consistent()
})

test('nor beside a database that has not begun yet', () => {
  using rig = new Rig()
  const wal = walOf(rig)
  fs.mkdirSync(`${rig.node.root}/sub`)
  const file = rig.node.mount.open('sub/new.sqlite', NEW)
  expect(() => put(rig, 'sub/new.nal', JOURNAL)).toThrow(/new\.sqlite.*8_3_names/)
  expect(() => put(rig, 'sub/new.wal', wal)).toThrow(/8_3_names/)
  file.close()
})

test('a copy of a WAL may have such a name where no database is beside it, and so may any other file', () => {
  using rig = new Rig()
  const wal = walOf(rig)
  put(rig, 'other.wal', wal)
  put(rig, 'a.b.wal', wal)
  put(rig, 'a.nal', Buffer.from('an annual report, for whoever reads it'))
  expect(rig.backing('other.wal')).toEqual(wal)
  expect(rig.node.lines.filter(({ message }) => message.includes('rejected'))).toEqual([])
})

test('a database may have such a name', () => {
  using rig = new Rig()
  rig.open('delete', 10, 'a.db').close()
  const connection = rig.open('wal', 10, 'a.wal')
  connection.exec(insert(11, 20))
  rig.consistent('a.wal')
})

test.each([
  ['a.wal', 'a.db', true],
  ['sub/a.nal', 'sub/a.sqlite3', true],
  ['a.wal', 'a.wal', false],
  ['a.wal', 'a', false],
  ['a.wal', 'a.b.db', false],
  ['a.wal', 'sub/a.db', false],
  ['a.wal', 'ab.db', false],
])('%s beside %s: %s', (path, database, shares) => {
  expect(sharesStem(path, database)).toBe(shares)
})
