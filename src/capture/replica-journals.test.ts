import fs from 'node:fs'
import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { SOLE } from './authority.ts'

function setUp(mode: string) {
  const role = { ...SOLE, leads: true }
  const rig = new Rig({ authority: role })
  const connection = rig.open(mode, 20)
  const errorOf = (sql: string): string => {
    try {
      connection.exec(sql)
      return 'none'
    } catch (error) {
      return String((error as { cause?: { code?: unknown } }).cause?.code)
    }
  }
  const hasJournal = () => fs.existsSync(`${rig.node.root}/a.db-journal`)
  return { role, rig, connection, errorOf, hasJournal }
}

test.each(['delete', 'truncate', 'persist'])(
  'after a demotion each write in %s mode fails as one on a replica, from the first on, and after a promotion it succeeds',
  (mode) => {
    const { role, rig, connection, errorOf, hasJournal } = setUp(mode)
    using _ = rig
    expect(hasJournal()).toBe(mode !== 'delete')
    role.leads = false
    // With EACCES for a journal that does not exist, SQLite says SQLITE_READONLY_DIRECTORY.
    for (const sql of ['DELETE FROM t', 'CREATE TABLE u (a)', 'VACUUM', 'BEGIN IMMEDIATE; DELETE FROM t; COMMIT']) {
      expect(errorOf(sql), sql).toBe('EACCES')
      errorOf('ROLLBACK')
      expect(hasJournal()).toBe(false)
    }
    expect(connection.value('SELECT count(*) FROM t')).toBe(20)
    role.leads = true
    connection.exec(insert(21, 30))
    rig.consistent()
  },
)

test.each(['truncate', 'persist'])('a journal in %s mode that somebody has open keeps its name', (mode) => {
  const { role, rig, errorOf, connection, hasJournal } = setUp(mode)
  using _ = rig
  const open = rig.node.mount.open('a.db-journal', { create: false, exclusive: false, readOnly: true })
  role.leads = false
  expect(errorOf('DELETE FROM t')).not.toBe('none')
  expect(hasJournal()).toBe(true)
  open.close()
  expect(errorOf('DELETE FROM t')).toBe('EACCES')
  role.leads = true
  connection.exec(insert(21, 30))
  rig.consistent()
})

test('a hot journal of an application that died before the demotion is rolled back, not removed', () => {
  const { role, rig, connection } = setUp('truncate')
  using _ = rig
  connection.exec('PRAGMA cache_size = 1; BEGIN')
  connection.exec('UPDATE t SET b = b || hex(zeroblob(900))')
  connection.kill()
  role.leads = false
  const next = rig.engine.open('a.db')
  expect(next.value('SELECT count(*), max(length(b)) FROM t')).toBe(20)
  expect(next.value('SELECT max(length(b)) < 900 FROM t')).toBe(1)
  rig.consistent()
})
