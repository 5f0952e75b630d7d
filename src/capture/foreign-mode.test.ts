import fs from 'node:fs'
import { expect, test } from 'vitest'
import { InProcessNode, temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { marshalJournalSegment } from '../sqlite/journal-write.ts'
import { FRAME_HEADER_SIZE, frameField, parseWalHeader, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { FrameChain } from '../sqlite/wal-write.ts'

const CHOICES = { create: false, exclusive: false, readOnly: false }
const NEW = { ...CHOICES, create: true }

/** Versions as Turso's MVCC mode has them, and those that SQLite would open read-only. */
const VERSIONS = [
  [255, 255],
  [3, 1],
  [1, 3],
] as const

function withVersions(page: Uint8Array, [write, read]: readonly [number, number]): Buffer {
  const changed = Buffer.from(page)
  changed[18] = write
  changed[19] = read
  return changed
}

/** A WAL frame that commits page 1 with this content. */
function commitFrame(wal: Buffer, page: Uint8Array, sizePages: number): Uint8Array {
  const header = parseWalHeader(wal.subarray(0, WAL_HEADER_SIZE))
  if (header === undefined) throw new Error('the WAL has a header')
  const size = FRAME_HEADER_SIZE + header.pageSize
  const last = new DataView(wal.buffer, wal.byteOffset + wal.length - size, size)
  const chain = new FrameChain(header, frameField.checksum1(last, 0), frameField.checksum2(last, 0))
  const frame = new Uint8Array(size)
  chain.append(new DataView(frame.buffer), 0, 1, sizePages, page)
  return frame
}

test.each(VERSIONS)('a WAL commit whose page 1 says versions %i and %i is rejected', (...versions) => {
  using rig = new Rig()
  const connection = rig.open('wal')
  const before = rig.node.position('a.db')
  const wal = rig.backing('a.db-wal')
  const { pages } = rig.node.database('a.db')
  const page = withVersions(rig.node.database('a.db').readPage(1), versions)
  const file = rig.node.mount.open('a.db-wal', CHOICES)
  expect(() => file.write(commitFrame(wal, page, pages.sizePages), wal.length)).toThrow(/neither SQLite nor ltxd/)
  file.close()
  expect(rig.node.position('a.db')).toEqual(before)
  connection.exec(insert(11, 20))
  rig.consistent()
})

test.each(VERSIONS)('a header with versions %i and %i is rejected in every journal mode', (...versions) => {
  for (const mode of ['wal', 'delete']) {
    using rig = new Rig()
    rig.open(mode).close()
    const bytes = rig.backing('a.db')
    const page = withVersions(bytes.subarray(0, 1024), versions)
    const file = rig.node.mount.open('a.db', CHOICES)
    expect(() => file.write(page, 0)).toThrow(/neither SQLite nor ltxd/)
    const journal = rig.node.mount.open('a.db-journal', NEW)
    const record = { pgno: 1, page: bytes.subarray(0, 1024) }
    journal.write(marshalJournalSegment({ pageSize: 1024, initialSizePages: 2, nonce: 1 }, [record]), 0)
    expect(() => file.write(page, 0)).toThrow(/neither SQLite nor ltxd/)
    journal.close()
    rig.node.mount.unlink('a.db-journal')
    file.close()
    expect(rig.backing('a.db').equals(bytes)).toBe(true)
    rig.consistent()
  }
})

test('a new file with such a header never becomes a database in silence', () => {
  using rig = new Rig()
  rig.open('delete').close()
  const bytes = withVersions(rig.backing('a.db'), [255, 255])
  const file = rig.node.mount.open('b.db', NEW)
  expect(() => file.write(bytes, 0)).toThrow(/neither SQLite nor ltxd/)
  file.close()
  // Also where the header arrives in parts.
  const other = rig.node.mount.open('c.db', NEW)
  other.write(bytes.subarray(0, 10), 0)
  other.write(bytes.subarray(10), 10)
  other.close()
  expect(rig.node.complaints().at(-1)).toMatch(/write version 255/)
})

test('a WAL that recovery finds with such a commit leaves that database unserved, with the reason', () => {
  using rig = new Rig()
  rig.open('wal')
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/data`
  fs.cpSync(rig.dir, dataDir, { recursive: true })
  const page = withVersions(rig.node.database('a.db').readPage(1), [255, 255])
  const { sizePages } = rig.node.database('a.db').pages
  fs.appendFileSync(`${dataDir}/files/a.db-wal`, commitFrame(rig.backing('a.db-wal'), page, sizePages))
  const node = new InProcessNode({ dataDir })
  expect(node.recovered.get('a.db')?.rejection).toMatch(/write version 255/)
  node.close()
})
