import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { withBoundedMemory } from '../../test/harness/allocations.ts'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { decode } from '../ltx/file.ts'
import type { Position } from '../ltx/format/types.ts'
import { formatPosition, toTXID } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { cutTornTail, inspectLog } from './open.ts'
import { readRecordFrame, RECORD_FRAME_SIZE, writeRecordFrame } from './record.ts'
import { segmentPath } from './segments.ts'
import { listLogs, readBase, readSynced, writeSynced } from './store.ts'
import { TestLog } from './testing.ts'

/** A closed log of five transactions, where its last record begins, and its position before that. */
function madeLog(dir: string, options: { segmentSizeBytes?: number } = {}) {
  const log = new TestLog(dir, options)
  const before = log.append(4)
  const segment = () => `${dir}/${log.segments.at(-1)}`
  const lastAt = fs.statSync(segment()).size
  log.append()
  log.writer.close()
  return { log, before, lastAt, segment: segment(), bytes: fs.readFileSync(segment()) }
}

test('a tail torn at any byte is found and cut, and nothing before it is changed', () => {
  using temporary = temporaryDirectory()
  const { log, before, lastAt, segment, bytes } = madeLog(`${temporary.dir}/a.ltx`)
  for (let length = lastAt + 1; length < bytes.length; length++) {
    fs.writeFileSync(segment, bytes.subarray(0, length))
    const { torn, last, entries } = inspectLog(nodeFiles, log.dir)
    expect(entries).toHaveLength(4)
    expect(formatPosition(last)).toBe(formatPosition(before))
    expect(torn).toEqual({ path: segment, at: lastAt, holdsRecords: false, whole: 0, later: [] })
    cutTornTail(nodeFiles, torn as NonNullable<typeof torn>, `${temporary.dir}/kept`)
    expect(fs.readFileSync(segment).equals(bytes.subarray(0, lastAt))).toBe(true)
  }
  expect(fs.existsSync(`${temporary.dir}/kept`)).toBe(false)
})

test('a last record with any byte flipped is incomplete, unless it decompresses to the same pages', () => {
  using temporary = temporaryDirectory()
  const { log, before, lastAt, segment, bytes } = madeLog(`${temporary.dir}/a.ltx`)
  const pages = (of: Buffer) => decode(of.subarray(lastAt + RECORD_FRAME_SIZE)).pages
  let harmless = 0
  for (let at = lastAt; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] as number) ^ 0x01
    fs.writeFileSync(segment, damaged)
    const { torn, last } = inspectLog(nodeFiles, log.dir)
    if (torn === undefined) {
      harmless++
      expect(pages(damaged)).toEqual(pages(bytes))
      continue
    }
    expect(formatPosition(last), `byte ${at}`).toBe(formatPosition(before))
    expect(torn.at).toBe(lastAt)
  }
  expect(harmless).toBeLessThan(5)
})

test('a last record that ends in zeros, as after a power loss, is incomplete', () => {
  using temporary = temporaryDirectory()
  const { log, before, lastAt, segment, bytes } = madeLog(`${temporary.dir}/a.ltx`)
  for (const from of [lastAt, lastAt + 24, lastAt + 130, bytes.length - 16, bytes.length - 1]) {
    fs.writeFileSync(segment, Buffer.from(bytes).fill(0, from))
    if (bytes.subarray(from).every((byte) => byte === 0)) continue
    expect(formatPosition(inspectLog(nodeFiles, log.dir).last)).toBe(formatPosition(before))
  }
})

const SECTOR_SIZE = 512
const sizeOf = (log: TestLog) => fs.statSync(`${log.dir}/${log.segments[0]}`).size

test('a bad record that a valid one continues is damage, and nothing is cut', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  log.append(2)
  const segment = `${log.dir}/${log.segments[0]}`
  const at = fs.statSync(segment).size
  log.append()
  const next = fs.statSync(segment).size
  log.append(2)
  log.writer.close()
  const bytes = fs.readFileSync(segment)
  for (let byte = at; byte < next; byte++) {
    const damaged = Buffer.from(bytes)
    damaged[byte] = (damaged[byte] as number) ^ 1
    fs.writeFileSync(segment, damaged)
    let found = 'harmless'
    try {
      inspectLog(nodeFiles, log.dir)
    } catch (error) {
      found = (error as Error).message
    }
    if (found === 'harmless') continue
    expect(found, `byte ${byte}`).toMatch(
      new RegExp(
        `^LTX log ${segment} is damaged at byte ${at}: .*, and 2 whole transactions after that\\. Nothing was`,
      ),
    )
    expect(fs.readFileSync(segment).equals(damaged)).toBe(true)
  }
})

test('whole records behind a sector that was never written are copied before they are cut', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  const ends = Array.from({ length: 60 }, () => ({ position: log.append(1), at: sizeOf(log) }))
  log.writer.close()
  const [name = ''] = log.segments
  const segment = `${log.dir}/${name}`
  const bytes = fs.readFileSync(segment)
  // Of a record that begins near the end of a sector, a few bytes lie in it.
  const left = ends.slice(0, -1).map(({ at }) => SECTOR_SIZE - (at % SECTOR_SIZE))
  for (const index of [left.indexOf(Math.min(...left)), left.indexOf(Math.max(...left)), 20]) {
    const { position, at } = ends[index] as (typeof ends)[number]
    const damaged = Buffer.from(bytes).fill(0, at, at + (left[index] as number))
    fs.writeFileSync(segment, damaged)
    const { torn, last } = inspectLog(nodeFiles, log.dir)
    expect(formatPosition(last)).toBe(formatPosition(position))
    expect(torn).toMatchObject({ at, holdsRecords: true })
    const copy = `${temporary.dir}/diverged/${index}/kept.ltxlog`
    cutTornTail(nodeFiles, torn as NonNullable<typeof torn>, copy)
    expect(fs.readFileSync(copy).equals(damaged.subarray(at))).toBe(true)
    expect(fs.statSync(segment).size).toBe(at)
  }
})

test('damage before the position up to which the database file is durable is an error, and nothing is changed', () => {
  using temporary = temporaryDirectory()
  const { log, segment, bytes } = madeLog(`${temporary.dir}/a.ltx`)
  writeSynced(nodeFiles, log.dir, log.position)
  const damaged = Buffer.from(bytes)
  damaged[200] = (damaged[200] as number) ^ 1
  fs.writeFileSync(segment, damaged)
  expect(() => inspectLog(nodeFiles, log.dir)).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }) as Error)
  expect(fs.readFileSync(segment).equals(damaged)).toBe(true)
})

test('damage in a segment that the database file durably holds is an error', () => {
  using temporary = temporaryDirectory()
  const { log } = madeLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 500 })
  writeSynced(nodeFiles, log.dir, { ...log.position, txid: toTXID(2) })
  const first = `${log.dir}/${log.segments[0]}`
  fs.truncateSync(first, fs.statSync(first).size - 1)
  expect(() => inspectLog(nodeFiles, log.dir)).toThrow(/damaged at byte \d+/)
})

test('I2: a missing segment, and a segment under another name, are errors', () => {
  using temporary = temporaryDirectory()
  const { log } = madeLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 500 })
  expect(log.segments.length).toBeGreaterThan(2)
  const [first, second, third] = log.segments.map((name) => `${log.dir}/${name}`) as [string, string, string]
  const { base } = inspectLog(nodeFiles, log.dir)
  writeSynced(nodeFiles, log.dir, { ...log.position, txid: toTXID(4) })
  fs.renameSync(second, `${temporary.dir}/away`)
  expect(() => inspectLog(nodeFiles, log.dir, base.txid)).toThrow(
    expect.objectContaining({ code: 'LOG_CORRUPT' }) as Error,
  )
  fs.renameSync(`${temporary.dir}/away`, second)
  fs.copyFileSync(third, first)
  expect(() => inspectLog(nodeFiles, log.dir, base.txid)).toThrow(
    expect.objectContaining({ code: 'LOG_CORRUPT' }) as Error,
  )
})

test('after a power loss shortened a segment before the last one, the log ends where that segment does', () => {
  for (const kept of [0, 1, 2]) {
    using temporary = temporaryDirectory()
    const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 2_000 })
    const ends = Array.from({ length: 3 }, () => (log.append(), fs.statSync(`${log.dir}/${log.segments[0]}`).size))
    while (log.segments.length < 3) log.append()
    log.writer.close()
    const [first, ...later] = log.segments.map((name) => `${log.dir}/${name}`) as [string, ...string[]]
    fs.truncateSync(first, kept === 0 ? 0 : ends[kept - 1])
    fs.truncateSync(later[1] as string, 0)
    const { torn, last } = inspectLog(nodeFiles, log.dir)
    expect(Number(last.txid)).toBe(kept)
    expect(torn).toMatchObject({ path: first, later })
    cutTornTail(nodeFiles, torn as NonNullable<typeof torn>, `${temporary.dir}/diverged/kept.ltxlog`)
    expect(fs.readdirSync(`${temporary.dir}/diverged`)).toEqual(['kept.ltxlog.1'])
    log.reopen()
    log.append(9)
    log.writer.close()
    expect(Number(inspectLog(nodeFiles, log.dir).last.txid)).toBe(kept + 9)
  }
})

test('the entries begin at the transaction up to which the database file is durable', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 700 })
  const synced = log.append(6)
  writeSynced(nodeFiles, log.dir, synced)
  log.append(4)
  log.writer.close()
  const state = inspectLog(nodeFiles, log.dir)
  expect(state.entries.map(({ header }) => Number(header.minTXID))).toEqual([6, 7, 8, 9, 10])
  expect(state.first).toBe(1n)
  fs.unlinkSync(`${log.dir}/${log.segments[0]}`)
  expect(inspectLog(nodeFiles, log.dir).entries.map(({ header }) => Number(header.minTXID))).toEqual([6, 7, 8, 9, 10])
})

test('a log without records is at its base', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  const state = inspectLog(nodeFiles, log.dir)
  expect(state.last).toEqual(readBase(nodeFiles, log.dir))
  expect(state.synced).toEqual(readSynced(nodeFiles, log.dir))
  expect(state.first).toBeUndefined()
})

test('logs are listed by the names of their databases, in directories too', () => {
  using temporary = temporaryDirectory()
  for (const name of ['a.db', 'a.db.ltx/b.db', 'sub/dir/c.db']) new TestLog(`${temporary.dir}/log/${name}.ltx`)
  expect(listLogs(nodeFiles, temporary.dir)).toEqual(['a.db', 'a.db.ltx/b.db', 'sub/dir/c.db'])
})

test('I10: a record frame carries sizes beyond 4 GiB, and rejects a size that no record can have', () => {
  const frame = new Uint8Array(RECORD_FRAME_SIZE)
  for (const size of [131, 65_536, 2 ** 32 + 7, 2 ** 40]) {
    writeRecordFrame(frame, size)
    expect(readRecordFrame(frame)).toBe(size)
  }
  for (const size of [0, 10, 2 ** 48 + 4]) {
    writeRecordFrame(frame, size)
    expect(readRecordFrame(frame)).toBeUndefined()
  }
})

test('a segment that was created and not written yet takes the next transaction from its first byte on', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 500 })
  log.append(6)
  log.writer.close()
  fs.writeFileSync(segmentPath(log.dir, toTXID(7)), '')
  log.reopen()
  log.append(3)
  log.writer.close()
  const state = inspectLog(nodeFiles, log.dir)
  expect(state.torn).toBeUndefined()
  expect(formatPosition(state.last)).toBe(formatPosition(log.position))
})

test('after a power loss tore a segment before the last one, the log ends before the tear', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 2_000 })
  const positions = Array.from({ length: 30 }, () => log.append())
  log.writer.close()
  const [, second, third, ...rest] = log.segments.map((name) => `${log.dir}/${name}`) as [string, string, string]
  expect(rest.length).toBeGreaterThan(0)
  const before = BigInt(`0x${path.basename(third).slice(0, 16)}`) - 2n
  for (const damage of ['cut', 'inside'] as const) {
    const bytes = fs.readFileSync(second)
    if (damage === 'cut') fs.truncateSync(second, bytes.length - 1)
    else fs.writeFileSync(second, Buffer.from(bytes).fill(0, bytes.length - 300, bytes.length - 200))
    const { last, torn } = inspectLog(nodeFiles, log.dir)
    expect(formatPosition(last)).toBe(formatPosition(positions[Number(before) - 1] as Position))
    expect(torn).toMatchObject({ path: second, later: [third, ...rest] })
    if (damage === 'cut') fs.writeFileSync(second, bytes)
  }
  const { torn } = inspectLog(nodeFiles, log.dir)
  cutTornTail(nodeFiles, torn as NonNullable<typeof torn>, `${temporary.dir}/diverged/kept.ltxlog`)
  expect(log.segments).toHaveLength(2)
  // The later segments, and the bad record, which is complete.
  expect(fs.readdirSync(`${temporary.dir}/diverged`).length).toBe(2 + rest.length)
  log.reopen()
  expect(log.position.txid).toBe(before)
  log.append(5)
  log.writer.close()
  expect(inspectLog(nodeFiles, log.dir).last.txid).toBe(before + 5n)
})

test('I10: a damaged segment is searched for records in pieces, whatever its size', async () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  const good = log.append(3)
  log.writer.close()
  const segment = `${log.dir}/${log.segments[0]}`
  const whole = fs.readFileSync(segment)
  const { entries } = inspectLog(nodeFiles, log.dir)
  const second = whole.subarray(
    (entries[1]?.offset ?? 0) - RECORD_FRAME_SIZE,
    (entries[2]?.offset ?? 0) - RECORD_FRAME_SIZE,
  )
  // A hole behind the last record, and then, at every place in a window, a record that looks whole, or none.
  for (const at of [0, (1 << 20) - 30, (1 << 20) - 23, (1 << 20) - 12, (1 << 20) - 1, 40 << 20]) {
    fs.writeFileSync(segment, whole)
    fs.truncateSync(segment, whole.length + 1 + at)
    fs.appendFileSync(segment, second)
    const state = await withBoundedMemory(() => inspectLog(nodeFiles, log.dir))
    expect(state.last).toEqual(good)
    expect(state.torn, `at ${at}`).toMatchObject({ at: whole.length, holdsRecords: true })
  }
  fs.truncateSync(segment, whole.length)
  fs.truncateSync(segment, 40 << 20)
  const state = await withBoundedMemory(() => inspectLog(nodeFiles, log.dir))
  expect(state.torn).toMatchObject({ at: whole.length, holdsRecords: false })
})
