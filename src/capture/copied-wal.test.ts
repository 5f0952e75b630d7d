/** A WAL that is copied in with its database belongs to that, whichever comes first. */

import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { type Files, nodeFiles } from '../util/files.ts'
import { SideFiles } from './side-files.ts'

const CREATED = { create: true, exclusive: false, readOnly: false }
const COUNT = 'SELECT count(*) FROM t'
const ROWS = 90

interface Copied {
  readonly database: Buffer
  readonly wal: Buffer
}

/** Of a database with `ROWS` rows, 30 of them in its file. */
function copied(): Copied {
  using rig = new Rig()
  const connection = rig.open('wal', 30)
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  for (let at = 31; at <= ROWS; at += 10) connection.exec(insert(at, at + 9))
  return { database: rig.backing('a.db'), wal: rig.backing('a.db-wal') }
}

function older(): Buffer {
  using rig = new Rig()
  rig.open('wal', 200).close()
  return rig.backing('a.db')
}

function put(rig: Rig, name: string, bytes: Uint8Array, as = name): void {
  const file = rig.node.mount.open(name, CREATED)
  file.truncate(0)
  for (let at = 0; at < bytes.length; at += 5000) file.write(bytes.subarray(at, at + 5000), at)
  file.close()
  if (as !== name) rig.node.mount.rename(name, as)
}

const ORDERS = {
  'the database first'(rig: Rig, { database, wal }: Copied) {
    put(rig, 'a.db', database)
    put(rig, 'a.db-wal', wal)
  },
  'the WAL first'(rig: Rig, { database, wal }: Copied) {
    put(rig, 'a.db-wal', wal)
    put(rig, 'a.db', database)
  },
  'the WAL first, and the database renamed into its place'(rig: Rig, { database, wal }: Copied) {
    put(rig, 'a.db-wal', wal)
    put(rig, '.a.db.x', database, 'a.db')
  },
  'the WAL first, and the database made anew'(rig: Rig, { database, wal }: Copied) {
    put(rig, 'a.db-wal', wal)
    if (rig.node.volume.tracked('a.db')) rig.node.mount.unlink('a.db')
    put(rig, 'a.db', database)
  },
  'the database first, each renamed into its place'(rig: Rig, { database, wal }: Copied) {
    put(rig, '.a.db.x', database, 'a.db')
    put(rig, '.a.db-wal.x', wal, 'a.db-wal')
  },
  'the WAL first, each renamed into its place'(rig: Rig, { database, wal }: Copied) {
    put(rig, '.a.db-wal.x', wal, 'a.db-wal')
    put(rig, '.a.db.x', database, 'a.db')
  },
}

for (const [order, copy] of Object.entries(ORDERS)) {
  for (const mode of ['', 'wal', 'delete', 'copied']) {
    const over = mode === '' ? '' : `, over a database in ${mode} mode`

    test(`a WAL copied with its database is captured before anybody opens it: ${order}${over}`, () => {
      using rig = new Rig()
      if (mode === 'copied') put(rig, 'a.db', older())
      else if (mode !== '') rig.open(mode, 200).close()
      rig.node.passTime()
      copy(rig, copied())
      rig.node.passTime()
      using crashed = new Rig({}, rig.dir)
      const captured = rig.txid()
      const connection = rig.engine.open('a.db')
      expect(connection.value('PRAGMA integrity_check')).toBe('ok')
      expect(connection.value(COUNT)).toBe(ROWS)
      rig.consistent()
      expect(rig.txid()).toBe(captured)
      connection.exec(insert(1000, 1010))
      rig.consistent()
      expect(crashed.engine.open('a.db').value(COUNT)).toBe(ROWS)
      crashed.consistent()
    })
  }
}

test('a WAL that is copied beside a database of another content changes nothing until SQLite reads it', () => {
  using rig = new Rig()
  rig.open('wal', 200).close()
  const before = rig.txid()
  put(rig, 'a.db-wal', copied().wal)
  rig.node.passTime()
  expect(rig.txid()).toBe(before)
  rig.node.mount.unlink('a.db-wal')
  expect(rig.engine.open('a.db').value(COUNT)).toBe(200)
  rig.consistent()
})

test('the WAL of a removed database is not that of the next one, also if that has its inode number', () => {
  const events = { log: () => undefined } as never
  const files: Files = { ...nodeFiles, exists: () => true }
  const sideFiles = new SideFiles('/files', files, events)
  sideFiles.detach('a.db', 7, () => undefined as never, [])
  expect(sideFiles.leftBeside('a.db', 7)).toEqual([])
  sideFiles.gone('a.db')
  expect(sideFiles.leftBeside('a.db', 7)).toContain('a.db-wal')
})
