import fs from 'node:fs'
import { expect, test } from 'vitest'
import { withBoundedMemory } from '../../test/harness/allocations.ts'
import { InProcessNode, temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { DATABASE_HEADER_SIZE } from '../sqlite/database-header.ts'
import { marshalJournalSegment } from '../sqlite/journal-write.ts'
import { FRAME_HEADER_SIZE, frameField, parseWalHeader, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { FrameChain } from '../sqlite/wal-write.ts'
import { isExplainedGrowth } from './growth.ts'
import { assertMemory } from './memory.ts'

const FORGED_PAGES = 0xfffffff0
const CHOICES = { create: false, exclusive: false, readOnly: false }

/** A WAL frame of page 1 that continues `wal`, is valid, and says that the database has so many pages. */
function forgedFrame(wal: Buffer, page: Uint8Array): Uint8Array {
  const header = parseWalHeader(wal.subarray(0, WAL_HEADER_SIZE))
  if (header === undefined) throw new Error('the WAL has a header')
  const size = FRAME_HEADER_SIZE + header.pageSize
  const last = new DataView(wal.buffer, wal.byteOffset + wal.length - size, size)
  const chain = new FrameChain(header, frameField.checksum1(last, 0), frameField.checksum2(last, 0))
  const frame = new Uint8Array(size)
  chain.append(new DataView(frame.buffer), 0, 1, FORGED_PAGES, page)
  return frame
}

test('I10: a commit frame that claims more pages than its frames explain is rejected, before a list of them is made', async () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  const before = rig.node.position('a.db')
  const wal = rig.backing('a.db-wal')
  const frame = forgedFrame(wal, rig.node.database('a.db').readPage(1).slice())
  const file = rig.node.mount.open('a.db-wal', CHOICES)
  const write = () => file.write(frame, wal.length)
  await expect(withBoundedMemory(write)).rejects.toMatchObject({ code: 'EIO' })
  file.close()
  expect(rig.node.position('a.db')).toEqual(before)
  connection.exec(insert(11, 20))
  rig.consistent()
})

test('I10: recovery does not believe such a frame either', async () => {
  using rig = new Rig()
  rig.open('wal')
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/data`
  fs.cpSync(rig.dir, dataDir, { recursive: true })
  const frame = forgedFrame(rig.backing('a.db-wal'), rig.node.database('a.db').readPage(1).slice())
  fs.appendFileSync(`${dataDir}/files/a.db-wal`, frame)
  const node = await withBoundedMemory(() => new InProcessNode({ dataDir }))
  expect(node.recovered.get('a.db')?.rejection).toContain('its frames do not explain')
  node.close()
})

test('I10: a file whose header claims more pages than it holds ends no transaction', async () => {
  using rig = new Rig()
  const connection = rig.open('delete')
  const before = rig.node.position('a.db')
  connection.close()
  const page = rig.backing('a.db').subarray(0, 1024)
  const journal = rig.node.mount.open('a.db-journal', { ...CHOICES, create: true })
  journal.write(marshalJournalSegment({ pageSize: 1024, initialSizePages: 2, nonce: 1 }, [{ pgno: 1, page }]), 0)
  const file = rig.node.mount.open('a.db', CHOICES)
  const head = Buffer.from(page.subarray(0, DATABASE_HEADER_SIZE))
  head.writeUInt32BE(FORGED_PAGES, 28)
  file.write(head, 0)
  journal.close()
  const end = () => rig.node.mount.unlink('a.db-journal')
  await expect(withBoundedMemory(end)).rejects.toMatchObject({ code: 'EIO' })
  expect(rig.node.position('a.db')).toEqual(before)
  expect(fs.existsSync(`${rig.node.root}/a.db-journal`)).toBe(true)
  file.close()
})

test('I10: a file that a hole makes as long as its header claims ends no transaction either', async () => {
  using rig = new Rig()
  rig.open('delete').close()
  const before = rig.node.position('a.db')
  const page = rig.backing('a.db').subarray(0, 1024)
  const pages = 2 ** 27
  const journal = rig.node.mount.open('a.db-journal', { ...CHOICES, create: true })
  journal.write(marshalJournalSegment({ pageSize: 1024, initialSizePages: 2, nonce: 1 }, [{ pgno: 1, page }]), 0)
  const file = rig.node.mount.open('a.db', CHOICES)
  const head = Buffer.from(page.subarray(0, DATABASE_HEADER_SIZE))
  head.writeUInt32BE(pages, 28)
  file.write(head, 0)
  file.truncate(pages * 1024)
  journal.close()
  const end = () => rig.node.mount.unlink('a.db-journal')
  await expect(withBoundedMemory(end)).rejects.toMatchObject({ code: 'EIO' })
  expect(rig.node.position('a.db')).toEqual(before)
  file.close()
})

test('what SQLite does not write of a growing database is explained by its free-list', () => {
  expect(isExplainedGrowth(1, 10, 11, 512)).toBe(true)
  expect(isExplainedGrowth(2, 10, 10 + 2 * 126, 512)).toBe(true)
  expect(isExplainedGrowth(2, 10, 300, 512)).toBe(false)
  expect(isExplainedGrowth(1, 10, 5, 512)).toBe(true)
})

test('I10: what SQLite had in its cache explains no more than a cache can hold', () => {
  expect(isExplainedGrowth(2 ** 14, 1, 2 ** 20, 512)).toBe(true)
  expect(isExplainedGrowth(2 ** 16, 1, 2 ** 24, 65536)).toBe(false)
  expect(isExplainedGrowth(2 ** 20, 1, 2 ** 28, 4096)).toBe(false)
  expect(isExplainedGrowth(2 ** 28, 1, 2 ** 28, 4096)).toBe(true)
})

test('I10: a transaction that would take the memory of the node is rejected, and says so', () => {
  using rig = new Rig()
  rig.open('delete').close()
  const database = rig.node.database('a.db')
  const available = () => 4 * 2 ** 30
  expect(() => assertMemory(database, 2 ** 25, 10, available)).not.toThrow()
  expect(() => assertMemory(database, 2 ** 26, 10, available)).toThrow(/4096 MiB of memory.*half of the 4096 MiB/)
  expect(() => assertMemory(database, 10, 2 ** 26 + 1, available)).toThrow(expect.objectContaining({ code: 'ENOMEM' }))
  // Small ones do not even look.
  const look = () => expect.unreachable()
  expect(() => assertMemory(database, 1000, 1000, look)).not.toThrow()
  expect(() => assertMemory(database, 2 ** 20, 2 ** 20)).not.toThrow()
})

test('I10: a database that is nearly all hole is served as a plain file', async () => {
  using rig = new Rig()
  rig.open('delete').close()
  const bytes = rig.backing('a.db')
  // A header whose size does not count, so that the file's length does.
  bytes.writeUInt32BE(bytes.readUInt32BE(24) + 1, 92)
  const file = rig.node.mount.open('b.db', { ...CHOICES, create: true })
  file.write(bytes, 0)
  file.truncate(200 * 2 ** 30)
  try {
    await withBoundedMemory(() => {
      file.close()
    })
    expect(rig.node.volume.tracked('b.db')).toBeUndefined()
    expect(rig.node.database('a.db').tracked).toBe(true)
  } finally {
    rig.node.mount.unlink('b.db')
  }
})
