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
