import { expect, test } from 'vitest'
import { divergedKey, fileKey, markerKey } from '../src/backup/history/layout.ts'
import { toTXID } from '../src/ltx/format/types.ts'
import { assertBlocksNoDatabase, outputKeyProblem, outputPathProblem } from './output-names.ts'

const KEYS = [
  ...(['s3', 'directory'] as const).flatMap((layout) =>
    Array.from({ length: 10 }, (_, level) =>
      fileKey(layout, 'tenants/a b.db', { level, min: toTXID(1), max: toTXID(0xffffff) }),
    ),
  ),
  markerKey('a.db', 'dropped', toTXID(7)),
  markerKey('a.db', 'reset', toTXID(7)),
  divergedKey('a.db', 'report.json'),
]

test.each([
  ...KEYS,
  // A store may lie below another, or be another's folder.
  ...KEYS.map((key) => key.slice(key.indexOf('/') + 1)),
  ...KEYS.map((key) => key.slice(key.lastIndexOf('/') + 1)).filter((key) => key !== 'report.json'),
  ...KEYS.map((key) => `${key}/below`),
  ...KEYS.map((key) => `${key}.meta.json`),
  'a.db/ltx',
  'a.db/LTX/0/x',
  'a.db/0009',
  'a.db/markers',
  'a.db/x.meta.json/y',
  '.ltxd/format.json',
  'a.db/.ltxd-lock',
  'a.db/.ltxd-lock/x',
  '.ltxd-tmp-0011',
])('no output takes a key of a backup: %s', (key) => {
  expect(outputKeyProblem(key)).toMatch(/as the objects of a backup have/)
})

test.each(['', '/x', 'a//b', 'a/../b', './x', 'a\0', 'a\n', 'x/', 'x'.repeat(2000)])('%j is no key', (key) => {
  expect(outputKeyProblem(key)).toBeDefined()
})

test.each(['app.db', 'restored/app.db', 'restores/2026/11/29/app.db', 'app.ltx', 'ltx.db', 'a/0010.db'])(
  '%s can be the key of an output',
  (key) => expect(outputKeyProblem(key)).toBeUndefined(),
)

test.each(['', '.', '..', '../x', 'a/../../b', '/etc/passwd', 'a/..', 'a\0b', 'a/', 'x.db-wal', 'a/x.db-journal'])(
  '%j is no path of an output',
  (path) => expect(outputPathProblem(path)).toBeDefined(),
)

test.each(['app.db', 'a/b.db', './a/b.db', 'a/../b.db', '..a/b', '-rf'])('%s can be the path of an output', (path) => {
  expect(outputPathProblem(path)).toBeUndefined()
})

test.each(['orders.db', 'restored/app.db', 'a%20b.db', 'x.db-wal', 'x.db-mj0123459AB', '.primary', 'a/b/c', '-rf'])(
  'an output in a directory never stands where a database, or a directory of databases, may come: %s',
  (key) => {
    expect(() => assertBlocksNoDatabase(key, 'directory')).toThrow(/could be the name of a database/)
    expect(() => assertBlocksNoDatabase(key, 's3')).not.toThrow()
  },
)

test.each(['@restored/app.db', 'restored/app.db@2026', 'a b.db', 'a%2db', '%', 'x.ltx/app.db', 'é.db'])(
  'no database needs the path %s',
  (key) => expect(() => assertBlocksNoDatabase(key, 'directory')).not.toThrow(),
)
