import fs from 'node:fs'
import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { FRAME_HEADER_SIZE, frameField, parseWalHeader, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { FrameChain, marshalWalHeader } from '../sqlite/wal-write.ts'

const CHOICES = { create: false, exclusive: false, readOnly: false }
const PAGE_SIZE = 1024
const FRAME_SIZE = FRAME_HEADER_SIZE + PAGE_SIZE
const REJECTED = expect.objectContaining({ code: 'EIO' }) as Error

/** A frame that continues `wal`, a copy of page 1 that ends a commit, unless changed by `change`. */
function nextFrame(rig: Rig, change: (frame: DataView) => void = () => {}): { frame: Uint8Array; at: number } {
  const wal = rig.backing('a.db-wal')
  const header = parseWalHeader(wal.subarray(0, WAL_HEADER_SIZE))
  if (header === undefined) throw new Error('the WAL has a header')
  const last = new DataView(wal.buffer, wal.byteOffset + wal.length - FRAME_SIZE, FRAME_SIZE)
  const chain = new FrameChain(header, frameField.checksum1(last, 0), frameField.checksum2(last, 0))
  const frame = new Uint8Array(FRAME_SIZE)
  const { pages } = rig.node.database('a.db')
  const page = rig.node.database('a.db').readPage(1).slice()
  page[60] = 77 // PRAGMA user_version
  chain.append(new DataView(frame.buffer), 0, 1, pages.sizePages, page)
  change(new DataView(frame.buffer))
  return { frame, at: wal.length }
}

function writer(rig: Rig): (data: Uint8Array, at: number) => void {
  const file = rig.node.mount.open('a.db-wal', CHOICES)
  return (data, at) => file.write(data, at)
}

/** A node with a database in WAL mode, and a way to write to its WAL. */
function open(rig: Rig): (data: Uint8Array, at: number) => void {
  rig.open('wal')
  return writer(rig)
}

const BROKEN: Record<string, (frame: DataView) => void> = {
  'a wrong checksum': (frame) => frame.setUint32(16, frame.getUint32(16) ^ 1),
  'a changed page': (frame) => frame.setUint8(FRAME_HEADER_SIZE + 500, 1),
  'neither salts nor checksums, although nothing was overwritten': (frame) => {
    for (let at = 8; at < FRAME_HEADER_SIZE; at += 4) frame.setUint32(at, 0)
  },
  'salts of another generation': (frame) => frame.setUint32(8, frame.getUint32(8) ^ 1),
  'page number 0': (frame) => frame.setUint32(0, 0),
}

test.each(Object.keys(BROKEN))('I1: a commit frame with %s is rejected, and counted', (how) => {
  using rig = new Rig()
  const write = open(rig)
  const before = rig.txid()
  const { frame, at } = nextFrame(rig, BROKEN[how])
  write(frame.subarray(0, FRAME_HEADER_SIZE), at)
  expect(() => write(frame.subarray(FRAME_HEADER_SIZE), at + FRAME_HEADER_SIZE)).toThrow(REJECTED)
  expect(rig.node.complaints()).toEqual([expect.stringMatching(/does not continue the checksums/)])
  expect(rig.node.guarded).toEqual(['a.db'])
  // What remains of it can be neither completed nor recovered.
  expect(() => write(frame.subarray(500), at + 500)).toThrow(REJECTED)
  expect(rig.backing('a.db-wal').subarray(at, at + FRAME_HEADER_SIZE)).toEqual(Buffer.alloc(FRAME_HEADER_SIZE))
  expect(rig.txid()).toBe(before)
  rig.consistent()
})

test('I1: a commit is rejected if a frame before its commit frame is broken, and the next one is captured', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 300)
  connection.exec('PRAGMA cache_size = 5')
  const before = rig.txid()
  let left = 3
  rig.node.mount.before = ({ kind, path, data }) => {
    if (kind === 'write' && path === 'a.db-wal' && data?.length === PAGE_SIZE && --left === 0) data[700]! ^= 1
  }
  expect(() => connection.exec("UPDATE t SET b = 'lost' || b")).toThrow()
  expect(rig.node.complaints()).toEqual([expect.stringMatching(/does not continue the checksums/)])
  expect(rig.txid()).toBe(before)
  connection.exec("UPDATE t SET b = 'kept' WHERE a < 9")
  expect(rig.txid()).toBe(before + 1)
  rig.consistent()
})

test('I1: a WAL with another page size than the database is rejected with its header', () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  connection.exec('PRAGMA wal_checkpoint(RESTART)')
  const before = rig.backing('a.db-wal')
  const { bytes } = marshalWalHeader({
    pageSize: 4096,
    checkpointSequence: 9,
    salt1: 1,
    salt2: 2,
    bigEndianChecksums: false,
  })
  expect(() => writer(rig)(bytes, 0)).toThrow(REJECTED)
  expect(rig.backing('a.db-wal').equals(before)).toBe(true)
  expect(rig.node.complaints()).toEqual([expect.stringContaining('page size 4096, expected the database')])
  expect(rig.node.guarded).toEqual(['a.db'])
  connection.exec(insert(11, 20))
  rig.consistent()
})

test('I1: a WAL with another page size than the database cannot be opened', () => {
  using rig = new Rig()
  rig.open('wal').close()
  const { bytes } = marshalWalHeader({
    pageSize: 4096,
    checkpointSequence: 9,
    salt1: 1,
    salt2: 2,
    bigEndianChecksums: false,
  })
  fs.writeFileSync(`${rig.node.root}/a.db-wal`, bytes)
  expect(() => rig.engine.open('a.db').exec('SELECT * FROM t')).toThrow()
  expect(rig.node.complaints()).toEqual([expect.stringContaining('page size 4096, expected the database')])
})

test('I1: frames behind an invalid WAL header are rejected', () => {
  using rig = new Rig()
  const write = open(rig)
  const wal = rig.backing('a.db-wal')
  const before = rig.txid()
  const header = Buffer.from(wal.subarray(0, WAL_HEADER_SIZE))
  header[30]! ^= 1
  expect(() => write(Buffer.concat([header, wal.subarray(WAL_HEADER_SIZE)]), 0)).toThrow(REJECTED)
  expect(rig.txid()).toBe(before)
  rig.consistent()
  write(header, 0)
  expect(() => write(wal.subarray(WAL_HEADER_SIZE, 99), WAL_HEADER_SIZE)).toThrow(REJECTED)
})

test('I1: a commit through a WAL that was removed under its connection is rejected', () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  rig.node.mount.unlink('a.db-wal')
  expect(() => connection.exec(insert(11, 20))).toThrow()
  const complaints = [expect.stringContaining('I11: the WAL is removed'), expect.stringContaining('frames without a')]
  expect(rig.node.complaints()).toEqual(complaints)
})

test('I11: a truncation of the WAL inside committed transactions is rejected', () => {
  using rig = new Rig()
  rig.open('wal')
  const file = rig.node.mount.open('a.db-wal', CHOICES)
  expect(() => file.truncate(WAL_HEADER_SIZE + FRAME_SIZE)).toThrow(REJECTED)
  rig.consistent()
})

test('frames that were rolled back, and lie behind the next commits, are no commits', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 300)
  connection.exec('PRAGMA cache_size = 5')
  connection.exec("BEGIN; UPDATE t SET b = 'rolled back' || b; ROLLBACK")
  for (let a = 1; a < 9; a++) connection.exec(`UPDATE t SET b = 'kept' WHERE a = ${a}`)
  rig.failAfter(({ kind, path, data }) => kind === 'write' && path === 'a.db-wal' && data?.length === PAGE_SIZE)
  expect(() => connection.exec("UPDATE t SET b = 'failed' WHERE a = 1")).toThrow()
  connection.exec("UPDATE t SET b = 'kept' WHERE a = 9")
  expect(rig.node.guarded).toEqual([])
  rig.consistent()
})

test('frames that were spilled twice are rewritten at their commit, which is captured then', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 300)
  const before = rig.txid()
  connection.exec('PRAGMA cache_size = 5')
  connection.exec("BEGIN; UPDATE t SET b = 'once' || b; UPDATE t SET b = 'twice' || b; COMMIT")
  expect(rig.txid()).toBe(before + 1)
  expect(rig.node.complaints()).toEqual([])
  rig.consistent()
})

test('a WAL that is copied onto the mount may end in frames of former generations', () => {
  using source = new Rig()
  const connection = source.open('wal', 300)
  connection.exec('PRAGMA wal_checkpoint(RESTART)')
  connection.exec("UPDATE t SET b = 'new' WHERE a = 1")
  using rig = new Rig()
  const copy = (name: string) => {
    const file = rig.node.mount.open(name, { ...CHOICES, create: true })
    file.write(source.backing(name), 0)
    file.close()
  }
  copy('a.db')
  copy('a.db-wal')
  expect(rig.node.complaints()).toEqual([])
  expect(rig.engine.open('a.db').value('SELECT b FROM t WHERE a = 1')).toBe('new')
  rig.consistent()
})

test('the first commit of a new WAL is captured even if it changes no byte', () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  const before = rig.txid()
  const value = String(connection.value('SELECT b FROM t WHERE a = 1'))
  connection.exec(`BEGIN; UPDATE t SET b = upper(b) WHERE a = 1; UPDATE t SET b = '${value}' WHERE a = 1; COMMIT`)
  expect(rig.txid()).toBe(before + 1)
  rig.consistent()
})
