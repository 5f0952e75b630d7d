import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { frameOffset, parseWalHeader } from './wal.ts'
import {
  blockOfFrame,
  frameBeforeBlock,
  FRESH_WAL_INDEX,
  marshalWalIndexHeader,
  unmarshalWalIndexHeader,
  WAL_INDEX_BLOCK_SIZE,
  WalIndexBlock,
} from './wal-index.ts'
import { FrameChain, marshalWalHeader } from './wal-write.ts'

const dir = mkdtempSync(join(tmpdir(), 'ltxd-wal-index-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A database whose WAL spans several blocks of the index, as SQLite wrote them. */
function written(pageSize: number, rows: number): { shm: Buffer; wal: Buffer } {
  const path = join(dir, `${pageSize}.db`)
  const database = new Database(path)
  database.pragma(`page_size = ${pageSize}`)
  database.pragma('journal_mode = wal')
  database.pragma('wal_autocheckpoint = 0')
  database.exec('CREATE TABLE t (a, b)')
  const insert = database.prepare('INSERT INTO t VALUES (?, zeroblob(300))')
  for (let i = 0; i < rows; i++) insert.run(i)
  const files = { shm: readFileSync(`${path}-shm`), wal: readFileSync(`${path}-wal`) }
  database.close()
  return files
}

describe.each([512, 4096, 65536])('a WAL of SQLite with pages of %i bytes', (pageSize) => {
  const { shm, wal } = written(pageSize, pageSize === 512 ? 5000 : 60)
  const header = unmarshalWalIndexHeader(shm)
  const walHeader = parseWalHeader(wal)
  if (header === undefined || walHeader === undefined) throw new Error('SQLite wrote no valid header')
  const { maxFrame } = header

  test('its index header is read, and written back byte for byte', () => {
    expect(header.pageSize).toBe(pageSize)
    expect(Buffer.from(marshalWalIndexHeader(header)).equals(shm.subarray(0, 48))).toBe(true)
    expect(unmarshalWalIndexHeader(shm.subarray(0, 95))).toBeUndefined()
    const torn = Buffer.from(shm.subarray(0, 96))
    torn[17] = (torn[17] ?? 0) ^ 1
    expect(unmarshalWalIndexHeader(torn)).toBeUndefined()
  })

  test('the blocks made of its frames are those of SQLite', () => {
    const last = blockOfFrame(maxFrame)
    if (pageSize === 512) expect(last).toBeGreaterThan(1)
    for (let number = 0; number <= last; number++) {
      const block = new WalIndexBlock(number)
      const first = frameBeforeBlock(number) + 1
      for (let frame = first; frame <= Math.min(maxFrame, first + block.capacity - 1); frame++) {
        block.add(frame, wal.readUInt32BE(frameOffset(frame - 1, pageSize)))
      }
      const at = number * WAL_INDEX_BLOCK_SIZE
      const theirs = shm.subarray(at + block.start, at + WAL_INDEX_BLOCK_SIZE)
      expect(Buffer.from(block.bytes.subarray(block.start)).equals(theirs)).toBe(true)
    }
  })

  test('the WAL written of its pages is that of SQLite', () => {
    const made = marshalWalHeader({ ...walHeader, checkpointSequence: wal.readUInt32BE(12) })
    expect(Buffer.from(made.bytes).equals(wal.subarray(0, 32))).toBe(true)
    const copy = Buffer.alloc(wal.length)
    copy.set(made.bytes)
    const view = new DataView(copy.buffer, copy.byteOffset, copy.byteLength)
    const chain = new FrameChain(walHeader, walHeader.checksum1, walHeader.checksum2)
    for (let frame = 1; frame <= maxFrame; frame++) {
      const at = frameOffset(frame - 1, pageSize)
      chain.append(view, at, wal.readUInt32BE(at), wal.readUInt32BE(at + 4), wal.subarray(at + 24, at + 24 + pageSize))
    }
    const end = frameOffset(maxFrame, pageSize)
    expect(copy.subarray(0, end).equals(wal.subarray(0, end))).toBe(true)
    expect([chain.checksum1, chain.checksum2]).toEqual([header.frameChecksum1, header.frameChecksum2])
  })
})

describe('a block of the wal-index', () => {
  test('finds the newest frame of a page up to a limit, and no frame after a cut', () => {
    const block = new WalIndexBlock(0)
    const pgnos = Array.from({ length: 4062 }, (_, i) => 1 + ((i * 7) % 97))
    pgnos.forEach((pgno, i) => block.add(i + 1, pgno))
    for (const limit of [1, 500, 4062]) {
      for (let pgno = 1; pgno <= 97; pgno++) {
        expect(block.find(pgno, limit)).toBe(pgnos.slice(0, limit).lastIndexOf(pgno) + 1)
      }
    }
    expect(block.cut(4062)).toBe(false)
    expect(block.cut(100)).toBe(true)
    for (let pgno = 1; pgno <= 97; pgno++) {
      expect(block.find(pgno, 4062)).toBe(pgnos.slice(0, 100).lastIndexOf(pgno) + 1)
    }
  })

  test('frames belong to blocks of 4062, then 4096', () => {
    expect([1, 4062, 4063, 8158, 8159].map(blockOfFrame)).toEqual([0, 0, 1, 1, 2])
    expect([0, 1, 2].map(frameBeforeBlock)).toEqual([0, 4062, 8158])
  })

  test('a fresh header has neither page size nor salts', () => {
    const bytes = marshalWalIndexHeader(FRESH_WAL_INDEX)
    expect(unmarshalWalIndexHeader(Buffer.concat([bytes, bytes]))).toEqual(FRESH_WAL_INDEX)
  })
})
