import fs from 'node:fs'
import { expect, test } from 'vitest'
import { SEED } from '../../test/harness/effort.ts'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { Random } from '../../test/harness/random.ts'
import { decode } from '../ltx/file.ts'
import { toTXID } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { inspectLog } from './open.ts'
import { LogReader } from './reader.ts'
import { TestLog, txid } from './testing.ts'

async function read(reader: LogReader, from: number, to: number): Promise<number[]> {
  const found: number[] = []
  for await (const record of reader.records(txid(from), txid(to))) {
    const chunks: Uint8Array[] = []
    for await (const chunk of record.bytes()) chunks.push(chunk.slice())
    const bytes = Buffer.concat(chunks)
    expect(bytes.length).toBe(record.sizeBytes)
    const { header, trailer } = decode(bytes)
    expect(header).toEqual(record.header)
    expect(trailer.postApplyChecksum).toBe(record.postApplyChecksum)
    found.push(Number(header.minTXID))
  }
  return found
}

const range = (from: number, to: number) => Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)

test(`records() yields each transaction of a range, whole and in order, wherever segments begin (LTXD_SEED=${SEED})`, async () => {
  using temporary = temporaryDirectory()
  const random = new Random(SEED)
  const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 20_000 })
  for (let i = 0; i < 300; i++) log.append(1, random.next() < 0.02 ? 2_000 : random.integer(1, 3))
  const reader = new LogReader(filesBeneath(log.dir), 'a', log.dir, () => log.position)
  for (let i = 0; i < 60; i++) {
    const from = random.integer(1, 300)
    const to = random.integer(from, Math.min(320, from + random.integer(0, 80)))
    expect(await read(reader, from, to)).toEqual(range(from, Math.min(to, 300)))
  }
  log.writer.close()
})

test('no record beyond the published position is shown, even if it exists', async () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  const published = log.append(3)
  log.append(2)
  const reader = new LogReader(filesBeneath(log.dir), 'a', log.dir, () => published)
  expect(await read(reader, 1, 5)).toEqual([1, 2, 3])
  expect(await read(reader, 4, 5)).toEqual([])
  expect(reader.position()).toEqual(published)
  log.writer.close()
})

test('an empty log has no records and no first transaction', async () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  const reader = new LogReader(filesBeneath(log.dir), 'a', log.dir, () => log.position)
  expect(await reader.first()).toBeUndefined()
  expect(await read(reader, 1, 10)).toEqual([])
  log.append()
  expect(await reader.first()).toBe(1n)
  log.writer.close()
})

test('reading a removed record is an error with a code, never an empty result', async () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 500 })
  log.append(20)
  const [first, second] = log.segments
  fs.unlinkSync(`${log.dir}/${first}`)
  const reader = new LogReader(filesBeneath(log.dir), 'a', log.dir, () => log.position)
  await expect(read(reader, 1, 5)).rejects.toMatchObject({ code: 'LOG_GAP' })
  const kept = Number.parseInt(second?.slice(0, 16) ?? '', 16)
  expect(await reader.first()).toBe(toTXID(kept))
  expect(await read(reader, kept, 20)).toEqual(range(kept, 20))
  log.writer.close()
})

test('a reader that continues while the log grows misses no record', async () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 5_000 })
  const reader = new LogReader(filesBeneath(log.dir), 'a', log.dir, () => log.position)
  const found: number[] = []
  for (let i = 0; i < 40; i++) {
    log.append(7)
    found.push(...(await read(reader, found.length + 1, 10_000)))
  }
  expect(found).toEqual(range(1, 280))
  log.writer.close()
})

test('damage among published transactions is an error with a code', async () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  log.append(5)
  log.writer.close()
  const segment = `${log.dir}/${log.segments[0]}`
  const bytes = fs.readFileSync(segment)
  bytes[0] = 0
  fs.writeFileSync(segment, bytes)
  const reader = new LogReader(filesBeneath(log.dir), 'a', log.dir, () => log.position)
  await expect(read(reader, 1, 5)).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
})

test('I4: sync() returns the position at its call', async () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 500 })
  const before = log.append(9)
  const reader = new LogReader(filesBeneath(log.dir), 'a', log.dir, () => log.position)
  const syncing = reader.sync()
  log.append(3)
  expect(await syncing).toEqual(before)
  log.writer.close()
})

test('I2: a record that does not follow the one before it is shown to nobody', async () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  log.append(5)
  log.writer.close()
  const { entries } = inspectLog(nodeFiles, log.dir)
  const segment = `${log.dir}/${log.segments[0]}`
  const bytes = fs.readFileSync(segment)
  // The pre-apply checksum in the header of the fourth LTX file.
  const at = (entries[3]?.offset ?? 0) + 40
  bytes[at + 7] = (bytes[at + 7] ?? 0) ^ 1
  fs.writeFileSync(segment, bytes)
  const reader = new LogReader(filesBeneath(log.dir), 'a', log.dir, () => log.position)
  const seen: bigint[] = []
  const reading = (async () => {
    for await (const { header } of reader.records(toTXID(1), toTXID(5))) seen.push(header.maxTXID)
  })()
  await expect(reading).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  expect(seen).toEqual([1n, 2n, 3n])
})
