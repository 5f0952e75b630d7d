import { expect, test } from 'vitest'
import { databaseNameProblem } from './database-name.ts'

test('a name that travels unharmed to logs and backups has no problem', () => {
  for (const name of ['a.db', 'ä ö/ü.sqlite', 'x'.repeat(240), '%2f', '..a', 'sub/dir/c.db']) {
    expect(databaseNameProblem(name), name).toBeUndefined()
  }
})

test('control characters and parts that are too long have one', () => {
  for (const name of ['a\nb', 'a\x7f', 'x'.repeat(241), `sub/${'ü'.repeat(121)}`, '\x01/a.db']) {
    expect(databaseNameProblem(name), name).toBeDefined()
  }
})

test('what lies in a folder that is named like a log would have its log inside of another, or removed with what a crash left', () => {
  for (const name of ['a.db.ltx/b.db', 'sub/a.ltx.old/b.db', 'a.ltx.next/b.db']) {
    expect(databaseNameProblem(name), name).toContain('folder')
  }
  for (const name of ['a.ltx', 'sub/a.ltx.old', 'ltx/b.db', 'a.ltx2/b.db']) {
    expect(databaseNameProblem(name), name).toBeUndefined()
  }
})
