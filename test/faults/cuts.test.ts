import { expect, test } from 'vitest'
import { RECORD_FRAME_SIZE, writeRecordFrame } from '../../src/log/record.ts'
import { Encoder } from '../../src/ltx/codec/encoder.ts'
import { HEADER_SIZE, TRAILER_SIZE } from '../../src/ltx/format/header.ts'
import type { Checksum } from '../../src/ltx/format/types.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { JOURNAL_MAGIC } from '../../src/sqlite/journal.ts'
import { cuts } from '../harness/in-process/cuts.ts'

const bytes = (length: number) => new Uint8Array(length)

test('a write is cut at the first, a middle and the last sector boundary within it, wherever it begins', () => {
  expect(cuts('x.json.tmp', 0, bytes(512))).toEqual([])
  expect(cuts('x.json.tmp', 0, bytes(513))).toEqual([512])
  expect(cuts('x.json.tmp', 0, bytes(1536))).toEqual([512, 1024])
  expect(cuts('x.json.tmp', 0, bytes(65_536))).toEqual([512, 32_768, 65_024])
  expect(cuts('x.json.tmp', 500, bytes(12))).toEqual([])
  expect(cuts('x.json.tmp', 500, bytes(13))).toEqual([12])
  expect(cuts('x.json.tmp', 500, bytes(2_000))).toEqual([12, 524, 1_548])
  expect(cuts('x.json.tmp', 0, bytes(0))).toEqual([])
})

test('a WAL is also cut in its header and, in each frame, in header, salts, checksum and page', () => {
  const beginning = bytes(32 + 2 * (24 + 512))
  new DataView(beginning.buffer).setUint32(8, 512)
  const frames = [32, 40, 48, 56, 568, 576, 584, 592]
  expect(cuts('a.db-wal', 0, beginning)).toEqual([24, ...frames, 512, 1_024].sort((a, b) => a - b))
  expect(cuts('a.db-wal', 32, bytes(24), 512)).toEqual([8, 16])
  expect(cuts('a.db-wal', 56, bytes(512), 512)).toEqual([512 - 56])
})

test('a rollback journal is also cut between the fields of a header, and in each record’s number, page and checksum', () => {
  const header = bytes(512)
  header.set(JOURNAL_MAGIC)
  expect(cuts('a.db-journal', 0, header)).toEqual([8, 12, 16, 20, 24, 28])
  expect(cuts('a.db-journal', 512, bytes(2 * 1_032), 1_024)).toEqual([4, 512, 1_024, 1_028, 1_032, 1_036, 2_048, 2_060])
  expect(cuts('a.db-journal', 512, bytes(4), 1_024)).toEqual([])
})

test('a database is also cut in its header and its pages', () => {
  const beginning = bytes(3_072)
  new DataView(beginning.buffer).setUint16(16, 1_024)
  expect(cuts('a.db', 0, beginning)).toEqual([100, 512, 1_024, 1_536, 2_048, 2_560])
  expect(cuts('a.db', 1_024, bytes(2_048), 1_024)).toEqual([512, 1_024, 1_536])
})

test('a log record is also cut in its frame, and in header, pages, page index and trailer of its LTX file', () => {
  const chunks: Uint8Array[] = []
  const header = {
    ...{ flags: 0, pageSize: 512, commit: 2, minTXID: toTXID(2), maxTXID: toTXID(2), timestampMs: 1, nodeId: 1n },
    ...{ walOffset: 0, walSize: 0, walSalt1: 0, walSalt2: 0, preApplyChecksum: 0x8000000000000005n as Checksum },
  }
  const encoder = new Encoder(header, (chunk) => chunks.push(chunk.slice()))
  const pages = [1, 2].map((pgno) => {
    const at = chunks.reduce((sum, { length }) => sum + length, 0)
    encoder.writePage(pgno, bytes(512))
    return at
  })
  const { sizeBytes } = encoder.finish(0x8000000000000001n as Checksum)
  const data = bytes(RECORD_FRAME_SIZE + sizeBytes)
  writeRecordFrame(data, sizeBytes)
  data.set(Buffer.concat(chunks), RECORD_FRAME_SIZE)
  const found = cuts('0000000000000001.ltxlog', 0, data)
  expect(found).toContain(RECORD_FRAME_SIZE)
  for (const at of [4, HEADER_SIZE, ...pages, sizeBytes - TRAILER_SIZE, sizeBytes - TRAILER_SIZE - 8, sizeBytes - 8]) {
    if (at > 0) expect(found).toContain(RECORD_FRAME_SIZE + at)
  }
  expect(found).toEqual(Array.from(new Set(found)).sort((a, b) => a - b))
  expect(found[0]).toBeGreaterThan(0)
  expect(found.at(-1)).toBeLessThan(data.length)
})
