import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { DatabaseFilter } from './database-filter.ts'

const CHOICES = { create: false, exclusive: false, readOnly: false }
const served = new DatabaseFilter({ databases: ['*.db'], otherFiles: 'serve' })
const rejecting = new DatabaseFilter({ databases: ['*.db'], otherFiles: 'refuse' })

const EPERM = expect.objectContaining({
  level: 'error',
  message: expect.stringContaining('fuse.databases') as unknown,
  fields: expect.objectContaining({
    file: 'notes.txt',
    errno: 'EPERM',
    process: expect.anything() as unknown,
  }) as unknown,
}) as unknown

test.each(['wal', 'delete', 'truncate', 'persist', 'off', 'memory'])(
  'a file that matches no pattern is a plain file, whatever SQLite does with it (%s)',
  (mode) => {
    using rig = new Rig({ filter: served })
    const connection = rig.open(mode, 10, 'notes.txt')
    connection.exec(insert(11, 30))
    connection.exec('VACUUM')
    connection.close()
    rig.open(mode === 'off' || mode === 'memory' ? 'wal' : mode)
    expect(Array.from(rig.node.volume.list(), ({ name }) => name)).toEqual(['a.db'])
    expect(rig.engine.open('notes.txt').value('SELECT count(*) FROM t')).toBe(30)
    expect(rig.node.complaints()).toEqual([])
    rig.consistent()
    using again = new Rig({ filter: served }, rig.dir)
    expect(Array.from(again.node.recovered.keys())).toEqual(['a.db'])
    expect(again.engine.open('notes.txt').value('SELECT count(*) FROM t')).toBe(30)
  },
)

test('with other-files: refuse, a file that matches no pattern cannot be opened, created or renamed to', () => {
  using rig = new Rig({ filter: rejecting })
  const connection = rig.open('wal')
  for (const suffix of ['', '-journal', '-wal', '-shm'])
    expect(() => rig.node.mount.open(`notes.txt${suffix}`, { ...CHOICES, create: true })).toThrow(/fuse\.databases/)
  connection.close()
  const position = rig.node.position('a.db')
  expect(() => rig.node.mount.rename('a.db', 'notes.txt')).toThrow(/fuse\.databases/)
  expect(rig.node.position('a.db')).toEqual(position)
  expect(rig.node.lines).toContainEqual(EPERM)
  expect(rig.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(10)
  rig.consistent()
})

test('a plain file renamed to match a pattern becomes a database, and the reverse', () => {
  using rig = new Rig({ filter: served })
  rig.open('delete', 10, 'notes.txt').close()
  rig.node.mount.rename('notes.txt', 'a.db')
  expect(rig.txid()).toBe(1)
  rig.engine.open('a.db').exec(insert(11, 20))
  rig.consistent()
  const connection = rig.open('delete', 5, 'b.db')
  connection.close()
  const position = rig.txid('b.db')
  rig.node.mount.rename('b.db', 'b.txt')
  expect(rig.txid('b.db')).toBe(position + 1)
  expect(rig.node.database('b.db').tracked).toBe(false)
  const plain = rig.engine.open('b.txt')
  plain.exec('PRAGMA journal_mode = MEMORY; DELETE FROM t')
  expect(rig.txid('b.db')).toBe(position + 1)
})

test('a database with a history that no pattern matches any more is recovered, and not served', () => {
  using rig = new Rig()
  rig.open('wal', 10, 'notes.txt').exec(insert(11, 20))
  using again = new Rig({ filter: served }, rig.dir)
  expect(again.node.database('notes.txt').rejection).toMatch(/fuse\.databases.*notes\.txt/)
  expect(again.node.position('notes.txt')).toEqual(rig.node.position('notes.txt'))
  expect(() => again.node.mount.open('notes.txt', CHOICES)).toThrow(/fuse\.databases/)
  using back = new Rig({}, again.dir)
  expect(back.engine.open('notes.txt').value('SELECT count(*) FROM t')).toBe(20)
})
