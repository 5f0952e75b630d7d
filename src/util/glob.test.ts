import { expect, test } from 'vitest'
import { globMatcher, globProblem } from './glob.ts'

test.each([
  ['**', ['a', 'a/b.db'], []],
  ['*.db', ['a.db', 'sub/deep/a.db', '.db'], ['a.sqlite', 'a.db-wal', 'a.dbx', 'a.db/b']],
  ['/*.db', ['a.db'], ['sub/a.db']],
  ['data/*.db', ['data/a.db'], ['a.db', 'data/sub/a.db', 'other/data/a.db']],
  ['data/**', ['data/a', 'data/b/c'], ['data', 'other/a']],
  ['**/x/*.db', ['x/a.db', 'a/b/x/c.db'], ['ax/a.db', 'x/y/a.db']],
  ['a/**/b', ['a/b', 'a/x/y/b'], ['ab', 'a/xb']],
  ['*.{db,sqlite3}', ['a.db', 'b.sqlite3'], ['a.sqlite', 'a.{db,sqlite3}']],
  ['shard-[0-9]?.db', ['shard-0a.db'], ['shard-x1.db', 'shard-1.db', 'shard-0/.db']],
  ['[!.]*', ['a', 'x/a'], ['.a', 'x/.a']],
  ['a+(b).db', ['a+(b).db'], ['aab.db']],
  ['a[\\^].db', ['a^.db', 'a\\.db'], ['ab.db']],
])('%s', (pattern, yes, no) => {
  const matches = globMatcher(pattern)
  expect(yes.filter((path) => !matches(path))).toEqual([])
  expect(no.filter((path) => matches(path))).toEqual([])
})

test('an invalid pattern is reported with its problem', () => {
  expect(globProblem('a[b')).toMatch(/does not close/)
  expect(globProblem('{a,b')).toMatch(/does not close/)
  expect(globProblem('')).toBe('is empty')
  expect(globProblem('x'.repeat(2000))).toMatch(/longer than/)
  expect(() => globMatcher('a[b')).toThrow(/a\[b/)
})
