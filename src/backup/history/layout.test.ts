import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DatabaseNameError, decodeDatabaseName, encodeDatabaseName } from '../../log/database-name.ts'
import { MAX_TXID } from '../../log/limits.ts'
import { toTXID } from '../../ltx/format/types.ts'
import { fileKey, levelPrefix, markerKey, parseKey } from './layout.ts'

const segment = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((text) => {
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  const harmless = !/[\u0000-\u001f\u007f/]/.test(text)
  return harmless && text !== '.' && text !== '..' && text.isWellFormed() && encodeURIComponent(text).length < 240
})
const name = fc.array(segment, { minLength: 1, maxLength: 3 }).map((segments) => segments.join('/'))
const txid = fc.bigInt(1n, MAX_TXID).map(toTXID)

describe('keys', () => {
  it('are the same as Litestream’s', () => {
    const file = { level: 0, min: toTXID(1), max: toTXID(255) }
    expect(fileKey('directory', 'app.db', file)).toBe('app.db/ltx/0/0000000000000001-00000000000000ff.ltx')
    expect(fileKey('s3', 'app.db', { ...file, level: 9 })).toBe('app.db/0009/0000000000000001-00000000000000ff.ltx')
    expect(levelPrefix('s3', 'a b/c', 3)).toBe('a%20b/c/0003/')
    expect(markerKey('app.db', 'dropped', toTXID(16))).toBe('app.db/markers/0000000000000010-dropped.json')
  })

  it('parse back into the file or marker they were made from, for any database name', () => {
    fc.assert(
      fc.property(
        name,
        txid,
        txid,
        fc.integer({ min: 0, max: 9 }),
        fc.constantFrom('s3', 'directory'),
        (db, a, b, level, layout) => {
          const [min, max] = a < b ? [a, b] : [b, a]
          expect(parseKey(layout, fileKey(layout, db, { level, min, max }))).toEqual({
            type: 'file',
            database: db,
            level,
            min,
            max,
          })
          expect(parseKey(layout, markerKey(db, 'reset', min))).toEqual({
            type: 'marker',
            database: db,
            kind: 'reset',
            txid: min,
          })
        },
      ),
    )
  })

  it.each([
    'app.db/ltx/0/lock.json',
    'app.db/ltx/10/0000000000000001-0000000000000001.ltx',
    'app.db/ltx/a/0000000000000001-0000000000000001.ltx',
    'app.db/ltx/0/0000000000000002-0000000000000001.ltx',
    'app.db/ltx/0/0000000000000000-0000000000000001.ltx',
    'app.db/ltx/0/000000000000000A-000000000000000B.ltx',
    'app.db/ltx/0/0000000000000001-0000000000000001.ltx.tmp',
    'app.db/generations/0123456789abcdef/snapshots/00000000.snapshot.lz4',
    'ltx/0/0000000000000001-0000000000000001.ltx',
    'a%2fb/ltx/0/0000000000000001-0000000000000001.ltx',
    'a%/ltx/0/0000000000000001-0000000000000001.ltx',
    'app.db/markers/0000000000000001-renamed.json',
    'app.db/ltx/0/0000000000000001-4000000000000001.ltx',
    'app.db/ltx/0/0000000000000001-ffffffffffffffff.ltx',
    'app.db/markers/4000000000000001-dropped.json',
    'app.db-wal/ltx/0/0000000000000001-0000000000000001.ltx',
  ])('that are not ours are ignored: %s', (key) => {
    expect(parseKey('directory', key)).toBeUndefined()
  })
})

describe('names of databases', () => {
  it('decode from their keys, one key for each name', () => {
    fc.assert(
      fc.property(name, (db) => {
        expect(decodeDatabaseName(encodeDatabaseName(db))).toBe(db)
      }),
    )
  })

  it.each([
    '',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/../b',
    'a\0',
    'a\nb',
    '\ud800',
    'ü'.repeat(60),
    'a/'.repeat(500) + 'a',
  ])('that could leave their place are rejected: %j', (db) => {
    expect(() => encodeDatabaseName(db)).toThrow(DatabaseNameError)
  })
})
