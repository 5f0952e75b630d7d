import { expect, test } from 'vitest'
import { classify } from '../capture/naming.ts'
import { databaseNameProblem } from './database-name.ts'

test('a name that survives as a path and as a key is valid', () => {
  for (const name of ['a.db', 'ä ö/ü.sqlite', 'x'.repeat(240), '%2f', '..a', 'sub/dir/c.db']) {
    expect(databaseNameProblem(name), name).toBeUndefined()
  }
})

test('a name with control characters, or with a part that is too long, is not valid', () => {
  for (const name of ['a\nb', 'a\x7f', 'a\x80', 'a\x9bb', 'x'.repeat(241), `sub/${'ü'.repeat(121)}`, '\x01/a.db']) {
    expect(databaseNameProblem(name), name).toBeDefined()
  }
})

test('a name in a directory named like a log is not valid: its log would lie inside another one', () => {
  for (const name of ['a.db.ltx/b.db', 'sub/a.ltx.old/b.db', 'a.ltx.next/b.db']) {
    expect(databaseNameProblem(name), name).toContain('folder')
  }
  for (const name of ['a.ltx', 'sub/a.ltx.old', 'ltx/b.db', 'a.ltx2/b.db']) {
    expect(databaseNameProblem(name), name).toBeUndefined()
  }
})

test('a name of a file beside a database is not valid', () => {
  for (const suffix of ['-wal', '-shm', '-journal', '-mj0123459AB']) {
    expect(classify(`a.db${suffix}`).kind).not.toBe('database')
    for (const name of [`a.db${suffix}`, `sub/a.db${suffix}`, suffix, `sub/${suffix}`]) {
      expect(databaseNameProblem(name), name).toContain(`ends in "${suffix}"`)
    }
  }
  for (const name of ['a.db-pos', 'sub/a.db-halt'])
    expect(databaseNameProblem(name), name).toContain('beside a database')
  for (const name of ['wal', 'a-wal.db', 'a.wal', 'a-journal/b.db', 'a-mj012345.db', 'a-pos/b']) {
    expect(databaseNameProblem(name), name).toBeUndefined()
  }
})

test("a name of ltxd's own files is not valid", () => {
  for (const name of ['.primary', '.lag', '.ltxd', '.ltxd/terms', '.ltxd-tmp-1/a.db']) {
    expect(databaseNameProblem(name), name).toContain('ltxd uses')
  }
  for (const name of ['primary', 'sub/.lag', '.lag.db', 'a.ltxd'])
    expect(databaseNameProblem(name), name).toBeUndefined()
})
