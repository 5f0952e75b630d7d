import { describe, expect, test } from 'vitest'
import type { TXID } from '../ltx/format/types.ts'
import { describeCleanStop, notShipped, type StoppedDatabase } from './clean-stop.ts'

const URL = 's3://key:secret@bucket/app'

function database(name: string, txid: bigint, backedUp = 0n, isRejected = false): StoppedDatabase {
  return { name, txid: txid as TXID, backedUp: backedUp as TXID, isRejected }
}

test('a node without a backup says so', () => {
  const databases = [database('a.db', 5n), database('b.db', 1n), database('c.db', 7n)]
  expect(describeCleanStop({ root: '/data/files', databases })).toBe(
    'stopped cleanly: 3 databases are plain SQLite files in /data/files; there is no backup',
  )
})

test('a backup with everything is named, without its secrets', () => {
  const databases = [database('a.db', 5n, 5n)]
  expect(describeCleanStop({ root: '/data/files', databases, backupUrl: URL })).toBe(
    'stopped cleanly: 1 database is a plain SQLite file in /data/files; ' +
      'the backup s3://redacted:redacted@bucket/app has everything up to now',
  )
})

test('the line lists what the backup lacks', () => {
  const databases = [database('a.db', 0x15n, 0x12n), database('b.db', 3n, 3n), database('c.db', 1n)]
  expect(describeCleanStop({ root: '/d', databases, backupUrl: 'file:///b' })).toMatch(
    /; the backup file:\/\/\/b lacks a\.db after transaction 0000000000000012, all of c\.db$/,
  )
})

test('a long list is shortened', () => {
  const databases = Array.from({ length: 12 }, (_, i) => database(`${i}.db`, 1n))
  expect(describeCleanStop({ root: '/d', databases, backupUrl: 'file:///b' })).toMatch(/all of 9\.db and 2 more$/)
})

test('a rejected database is not counted as usable', () => {
  const databases = [database('a.db', 5n), database('broken.db', 3n, 0n, true)]
  expect(describeCleanStop({ root: '/d', databases })).toBe(
    'stopped cleanly: 1 database is a plain SQLite file in /d (rejected, so not usable as they are: broken.db); ' +
      'there is no backup',
  )
})

test('an empty node has no databases to count', () => {
  expect(describeCleanStop({ root: '/d', databases: [] })).toMatch(/^stopped cleanly: there are no databases in \/d;/)
})

test('in a cluster the line says which node has everything', () => {
  const databases = [database('a.db', 5n, 5n)]
  const stop = (cluster: object) => describeCleanStop({ root: '/d', databases, backupUrl: 'file:///b', ...cluster })
  expect(stop({ cluster: { role: 'primary', successor: 'node-b' } })).toMatch(
    /; replica node-b has everything; the backup file:\/\/\/b has everything up to now$/,
  )
  expect(stop({ cluster: { role: 'primary' } })).toMatch(/; no replica is known to have everything; the backup/)
  expect(stop({ cluster: { role: 'replica', primary: 'node-a' } })).toMatch(/; this node was a replica of node-a/)
  expect(stop({ cluster: { role: 'idle' } })).toMatch(/; this node followed no primary$/)
})

describe('the last words of a node whose transactions may be nowhere else', () => {
  const databases = [database('a.db', 0x15n, 0x12n), database('b.db', 3n, 3n), database('c.db', 0n)]
  const about = { root: '/d/files', databases, backupUrl: URL }

  test('are an error that names them, without the secrets of the backup', () => {
    expect(notShipped(about)).toMatchObject({ code: 'NOT_SHIPPED', exitCode: 1 })
    expect(notShipped(about)?.message).toMatch(
      /the backup s3:\/\/redacted:redacted@bucket\/app lacks transactions of this node: a\.db after transaction 0{14}12\. /,
    )
    // A replica has not asked the backup for positions.
    expect(notShipped({ ...about, cluster: { role: 'replica', primary: 'n1' } })?.message).toMatch(
      /no primary could be told, and the backup \S+ may lack transactions of this node: a\.db up to 0{14}15, b\.db up to 0{15}3\. /,
    )
  })

  test('are none where there is no backup, or nothing to ship', () => {
    expect(notShipped({ ...about, backupUrl: undefined })).toBeUndefined()
    expect(notShipped({ ...about, databases: [database('b.db', 3n, 3n)] })).toBeUndefined()
    expect(notShipped({ ...about, databases: [], cluster: { role: 'idle' } })).toBeUndefined()
  })
})
