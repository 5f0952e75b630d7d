import fs from 'node:fs'
import { describe, expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { inspectLog } from '../log/open.ts'
import { logDirectory } from '../log/store.ts'
import { foldChecksum, pageChecksum } from '../ltx/format/checksum.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { marshalJournalSegment } from '../sqlite/journal-write.ts'
import { nodeFiles } from '../util/files.ts'
import type { Authority } from './authority.ts'
import type { Expectation } from './expected.ts'

/** A node's role, set by a test. While `clientCalls`, every caller is the local client. */
class Role implements Authority {
  leads = true
  leaseHolds = true
  clientCalls = false
  primary: string | undefined
  opensReadOnly = false

  readonly deadlineNs = 1n

  mayCommit(): boolean {
    return this.leaseHolds
  }

  mayAcknowledge(): boolean {
    return this.leaseHolds
  }

  isClient(): boolean {
    return this.clientCalls
  }
}

const MODES = ['wal', 'delete', 'truncate', 'persist'] as const
const CHANGES = [
  'INSERT INTO t (b) VALUES (1)',
  'UPDATE t SET b = a',
  'DELETE FROM t',
  'CREATE TABLE u (a)',
  'DROP TABLE t',
  'VACUUM',
  'PRAGMA user_version = 7',
]

/** Position, file and WAL of a database; not its wal-index. */
function stateOf(rig: Rig): unknown {
  const file = (suffix: string) => {
    const path = `${rig.node.root}/a.db${suffix}`
    return fs.existsSync(path) ? fs.readFileSync(path).toString('base64') : undefined
  }
  return { position: formatPosition(rig.node.position('a.db')), database: file(''), wal: file('-wal') }
}

test('a rejected write says in the log which database, which process, and where the primary is', () => {
  const role = new Role()
  using rig = new Rig({ authority: role })
  const connection = rig.open('wal')
  role.leads = false
  expect(() => connection.exec('DELETE FROM t')).toThrow()
  expect(rig.node.lines.at(-1)).toMatchObject({
    level: 'info',
    message: expect.stringMatching(/because this node is not the primary.*no primary is known/) as string,
    fields: { database: 'a.db', process: expect.any(String) as string, errno: 'EROFS' },
  })
  role.primary = 'node-b'
  expect(() => connection.exec('DELETE FROM t')).toThrow()
  expect(rig.node.lines.at(-1)?.message).toMatch(/write on node-b$/)
})

describe.each(MODES)('in %s mode', (mode) => {
  test.each(CHANGES)('I5: on a replica "%s" is rejected and changes nothing', (sql) => {
    const role = new Role()
    using rig = new Rig({ authority: role })
    const connection = rig.open(mode, 200)
    role.leads = false
    const before = stateOf(rig)
    expect(() => connection.exec(sql)).toThrow()
    expect(stateOf(rig)).toEqual(before)
    role.leads = true
    connection.exec(insert(201, 210))
    rig.consistent()
  })

  test('I6: after the lease expires no commit succeeds, a rollback does, and commits succeed again under a new lease', () => {
    const role = new Role()
    using rig = new Rig({ authority: role })
    const connection = rig.open(mode, 50)
    const before = formatPosition(rig.node.position('a.db'))
    role.leaseHolds = false
    expect(() => connection.exec(insert(51, 60))).toThrow()
    expect(formatPosition(rig.node.position('a.db'))).toBe(before)
    expect(rig.node.complaints()).toContainEqual(expect.stringContaining('lease'))
    role.leaseHolds = true
    rig.consistent()
    connection.exec(insert(51, 60))
    rig.consistent()
  })

  test('an application in a large transaction when the node stops leading gets an error, and its changes are rolled back', () => {
    const role = new Role()
    using rig = new Rig({ authority: role })
    const connection = rig.open(mode, 500)
    connection.exec('PRAGMA cache_size = 5')
    const before = formatPosition(rig.node.position('a.db'))
    connection.exec('BEGIN')
    connection.exec("UPDATE t SET b = 'changed ' || b")
    role.leads = false
    expect(() => {
      connection.exec(insert(501, 900))
      connection.exec('COMMIT')
    }).toThrow()
    try {
      connection.exec('ROLLBACK')
    } catch {
      // SQLite has rolled back by itself.
    }
    expect(formatPosition(rig.node.position('a.db'))).toBe(before)
    rig.consistent()
  })
})

test.each(['delete', 'truncate', 'persist'])(
  'on a replica in %s mode no journal begins, so SQLite takes the directory for read-only',
  (mode) => {
    const role = new Role()
    using rig = new Rig({ authority: role })
    const connection = rig.open(mode, 20)
    if (mode === 'persist') rig.node.mount.unlink('a.db-journal')
    role.leads = false
    expect(() => connection.exec('DELETE FROM t')).toThrow()
    expect(rig.node.lines.at(-1)?.fields).toMatchObject({ database: 'a.db', errno: 'EACCES' })
    role.clientCalls = true
    rig.node.mount.open('a.db-journal', { create: true, exclusive: false, readOnly: false }).close()
  },
)

test('a replica that opens databases read-only rejects each open for writing but the local client’s', () => {
  const role = new Role()
  using rig = new Rig({ authority: role })
  rig.open('wal', 20).close()
  role.opensReadOnly = true
  const open = (readOnly: boolean) => rig.node.mount.open('a.db', { create: false, exclusive: false, readOnly }).close()
  open(false)
  role.leads = false
  expect(() => open(false)).toThrow('fuse.replica-writes')
  open(true)
  role.clientCalls = true
  open(false)
})

test('I5: on a replica no application removes, renames, replaces or adds a database', () => {
  const role = new Role()
  using source = new Rig()
  source.open('delete', 20).close()
  using rig = new Rig({ authority: role })
  rig.open('delete', 20).close()
  role.leads = false
  const before = stateOf(rig)
  const { mount } = rig.node
  expect(() => mount.unlink('a.db')).toThrow('not the primary')
  expect(() => mount.rename('a.db', 'b.db')).toThrow('not the primary')
  expect(() => rig.open('delete', 5, 'new.db')).toThrow()
  const copy = mount.open('copy.db', { create: true, exclusive: false, readOnly: false })
  expect(() => copy.write(source.backing('a.db'), 0)).toThrow('not the primary')
  copy.close()
  expect(stateOf(rig)).toEqual(before)
  expect(rig.node.complaints()).toEqual([])
})

describe.each(MODES)('the local client’s write in %s mode', (mode) => {
  test('is committed if it was announced, with the primary’s timestamp and node id', () => {
    const { rig, role, announce, next } = replicaOf(mode)
    using _ = rig
    const expected = next('UPDATE t SET b = 1 WHERE a < 5')
    announce(expected)
    role.clientCalls = true
    rig.engine.open('a.db').exec('UPDATE t SET b = 1 WHERE a < 5')
    expect(formatPosition(rig.node.position('a.db'))).toBe(formatPosition(expected.position))
    const last = inspectLog(nodeFiles, logDirectory(rig.dir, 'a.db')).entries.at(-1)
    expect(last?.header).toMatchObject({ timestampMs: 4711, nodeId: 99n })
    role.leads = true
    rig.consistent()
  })

  test('is rejected if it differs from what was announced, or nothing was announced', () => {
    const { rig, role, announce, next } = replicaOf(mode)
    using _ = rig
    const before = formatPosition(rig.node.position('a.db'))
    role.clientCalls = true
    const client = rig.engine.open('a.db')
    expect(() => client.exec('UPDATE t SET b = 1 WHERE a < 5')).toThrow()
    announce(next('UPDATE t SET b = 1 WHERE a < 5'))
    expect(() => client.exec('UPDATE t SET b = 2 WHERE a < 5')).toThrow()
    expect(formatPosition(rig.node.position('a.db'))).toBe(before)
    role.leads = true
    rig.consistent()
  })

  test('can replace the database: the log begins again with all its pages', () => {
    const { rig, role, announce, next } = replicaOf(mode)
    using _ = rig
    const change = 'BEGIN; CREATE TABLE u (a); DELETE FROM t WHERE a > 10; COMMIT'
    const { position, commit, pageSize } = next(change)
    const preApplyChecksum = 0x8000000000000123n as typeof position.checksum
    const elsewhere = { txid: (position.txid + 40n) as typeof position.txid, checksum: position.checksum }
    announce({ position: elsewhere, commit, pageSize, timestampMs: 1, nodeId: 1n, replaces: { preApplyChecksum } })
    role.clientCalls = true
    const client = rig.engine.open('a.db')
    client.exec(change)
    expect(rig.node.position('a.db').txid).toBe(elsewhere.txid)
    role.leads = true
    client.exec('INSERT INTO t (b) VALUES (1)')
    const { base, first, last } = inspectLog(nodeFiles, logDirectory(rig.dir, 'a.db'))
    expect([base.txid + 1n, first, last]).toEqual([elsewhere.txid, elsewhere.txid, rig.node.position('a.db')])
    // The state after a crash at this moment.
    using restarted = new Rig({}, rig.dir)
    expect(formatPosition(restarted.node.position('a.db'))).toBe(formatPosition(last))
    expect(restarted.node.recovered.get('a.db')?.rejection).toBeUndefined()
  })
})

test('an announced commit that repeats the last frame of the WAL is captured: the local client pads nothing', () => {
  const { rig, role, announce, next } = replicaOf('wal')
  using _ = rig
  const change = 'UPDATE t SET b = 5 WHERE a = 1'
  announce(next(change))
  role.clientCalls = true
  const client = rig.engine.open('a.db')
  client.exec(change)
  const { position, pages } = rig.node.database('a.db')
  const after = { txid: (position.txid + 1n) as typeof position.txid, checksum: position.checksum }
  announce({ position: after, commit: pages.sizePages, pageSize: 1024, timestampMs: 1, nodeId: 1n })
  client.exec('BEGIN; UPDATE t SET b = 6 WHERE a = 1; UPDATE t SET b = 5 WHERE a = 1; COMMIT')
  expect(rig.node.position('a.db')).toEqual(after)
})

test('the size of an announced transaction is that of its announcement, not what page 1 counts', () => {
  const { rig, role, announce } = replicaOf('delete')
  using _ = rig
  const { position, pages } = rig.node.database('a.db')
  const file = rig.node.mount.open('a.db', { create: false, exclusive: false, readOnly: false })
  const size = rig.backing('a.db').length
  const commit = pages.sizePages + 3
  let { checksum } = position
  for (let pgno = pages.sizePages + 1; pgno <= commit; pgno++)
    checksum = foldChecksum(checksum, pageChecksum(pgno, new Uint8Array(1024)))
  const after = { txid: (position.txid + 1n) as typeof position.txid, checksum }
  announce({ position: after, commit, pageSize: 1024, timestampMs: 1, nodeId: 1n })
  role.clientCalls = true
  const page = rig.backing('a.db').subarray(0, 1024)
  const journal = rig.node.mount.open('a.db-journal', { create: true, exclusive: false, readOnly: false })
  journal.write(
    marshalJournalSegment({ pageSize: 1024, initialSizePages: pages.sizePages, nonce: 1 }, [{ pgno: 1, page }]),
    0,
  )
  file.write(new Uint8Array(3 * 1024), size)
  rig.node.mount.unlink('a.db-journal')
  expect(rig.node.position('a.db')).toEqual(after)
  expect(pages.sizePages).toBe(commit)
})

/** A replica, and a twin of it that makes the primary's next transactions. */
function replicaOf(mode: string) {
  const role = new Role()
  const rig = new Rig({ authority: role })
  rig.open(mode, 40)
  const twin = new Rig()
  twin.open(mode, 40)
  expect(formatPosition(twin.node.position('a.db'))).toBe(formatPosition(rig.node.position('a.db')))
  role.leads = false
  const next = (sql: string): Expectation => {
    // On a new connection, as the local client does: SQLite counts changes per connection.
    twin.engine.open('a.db').exec(sql)
    const { position, pages, pageSize } = twin.node.database('a.db')
    return { position, commit: pages.sizePages, pageSize, timestampMs: 4711, nodeId: 99n }
  }
  const announce = (expectation: Expectation) =>
    rig.node.volume.announced({ op: 'expect', database: 'a.db', expectation })
  return { rig, role, next, announce }
}
