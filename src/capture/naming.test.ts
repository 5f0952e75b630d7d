import { expect, test } from 'vitest'
import { classify } from './naming.ts'

test.each([
  ['a.db', 'database', 'a.db'],
  ['sub/a', 'database', 'sub/a'],
  ['a.db-wal', 'wal', 'a.db'],
  ['a.db-journal', 'journal', 'a.db'],
  ['a.db-shm', 'shm', 'a.db'],
  ['sub/a-wal-wal', 'wal', 'sub/a-wal'],
  ['-wal', 'database', '-wal'],
  ['a.db-mj0A1B2C9D3', 'super-journal', 'a.db'],
  ['a.db-mj0A1B2C8D3', 'database', 'a.db-mj0A1B2C8D3'],
  ['a.db-mjxyz', 'database', 'a.db-mjxyz'],
])('%s is a %s of %s', (path, kind, database) => {
  expect(classify(path)).toEqual({ kind, database })
})
