import { expect, test } from 'vitest'
import { databaseNameProblem } from './database-name.ts'

test('a name that survives as a path and as a key is valid', () => {
  for (const name of ['a.db', 'ä ö/ü.sqlite', 'x'.repeat(240), '%2f', '..a', 'sub/dir/c.db']) {
    expect(databaseNameProblem(name), name).toBeUndefined()
  }
})

test('a name with control characters, or with a part that is too long, is not valid', () => {
  for (const name of ['a\nb', 'a\x7f', 'x'.repeat(241), `sub/${'ü'.repeat(121)}`, '\x01/a.db']) {
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
