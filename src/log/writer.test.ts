import fs from 'node:fs'
import { expect, test } from 'vitest'
import type { FailingOperation } from '../../test/harness/in-process/failing-files.ts'
import { failingFiles } from '../../test/harness/in-process/failing-files.ts'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import type { Checksum } from '../ltx/format/types.ts'
import { formatPosition, toTXID } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { inspectLog } from './open.ts'
import { TestLog } from './testing.ts'

test('appended transactions are found in order when the log is opened again', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  for (let i = 1; i <= 20; i++) {
    log.append()
    if (i % 3 === 0) log.reopen()
  }
  log.writer.close()
  const state = inspectLog(nodeFiles, log.dir)
  expect(state.entries.map(({ header }) => Number(header.minTXID))).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  expect(formatPosition(state.last)).toBe(formatPosition(log.position))
  expect(state.torn).toBeUndefined()
})

test('a segment beyond the size limit is followed by another, named by its first transaction', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`, { segmentSizeBytes: 2_000 })
  const rotations: bigint[] = []
  for (let i = 0; i < 40; i++) if (log.appendOne().finishedBytes > 0) rotations.push(log.position.txid)
  expect(rotations.length).toBeGreaterThan(3)
  expect(log.segments).toEqual([1n, ...rotations].map((txid) => `${txid.toString(16).padStart(16, '0')}.ltxlog`))
  log.reopen()
  log.append(5)
  log.writer.close()
  expect(inspectLog(nodeFiles, log.dir).entries).toHaveLength(45)
})

test('a transaction larger than the write buffer is one record', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  log.append(1, 9_000)
  log.append(1, 1)
  log.writer.close()
  const { entries } = inspectLog(nodeFiles, log.dir)
  expect(entries).toHaveLength(2)
  expect(entries[0]?.sizeBytes).toBeGreaterThan(1 << 20)
})

test.each([
  ['a gap', { minTXID: toTXID(9), maxTXID: toTXID(9) }],
  ['a repetition', { minTXID: toTXID(3), maxTXID: toTXID(3) }],
  ['two transactions at once', { maxTXID: toTXID(5) }],
  ['another history', { preApplyChecksum: ((1n << 63n) | 5n) as Checksum }],
])('I2: the writer asserts against %s', (_what, fields) => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  log.append(3)
  const before = fs.readFileSync(`${log.dir}/${log.segments[0]}`)
  expect(() => log.appendOne(fields)).toThrow(/I2/)
  expect(fs.readFileSync(`${log.dir}/${log.segments[0]}`).equals(before)).toBe(true)
  log.append()
})

test.each([1, 9_000])(
  'an append of %i pages that fails leaves the log unchanged, and the next one succeeds',
  (pages) => {
    using temporary = temporaryDirectory()
    let budget = Infinity
    const files = failingFiles(nodeFiles, (operation, path) =>
      operation === 'write' && path.endsWith('.ltxlog') && budget-- <= 0 ? 'ENOSPC' : undefined,
    )
    const log = new TestLog(`${temporary.dir}/a.ltx`, { files })
    log.append(3)
    const segment = `${log.dir}/${log.segments[0]}`
    const before = fs.readFileSync(segment)
    const position = log.position
    for (let writes = 0; writes < 3; writes++) {
      budget = writes
      try {
        log.append(1, pages)
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' })
        expect(log.position).toEqual(position)
        expect(fs.readFileSync(segment).equals(before)).toBe(true)
        continue
      }
      expect(writes).toBeGreaterThan(0)
      break
    }
    budget = Infinity
    log.append()
    log.writer.close()
    expect(formatPosition(inspectLog(nodeFiles, log.dir).last)).toBe(formatPosition(log.position))
  },
)

test('an append that fails while it begins a segment leaves the log unchanged', () => {
  using temporary = temporaryDirectory()
  let fails = false
  const files = failingFiles(nodeFiles, (operation) => (fails && operation === 'write' ? 'ENOSPC' : undefined))
  const log = new TestLog(`${temporary.dir}/a.ltx`, { files, segmentSizeBytes: 1_000 })
  log.append(1, 9)
  fails = true
  expect(() => log.append()).toThrow(expect.objectContaining({ code: 'ENOSPC' }) as Error)
  expect(() => log.append()).toThrow(expect.objectContaining({ code: 'ENOSPC' }) as Error)
  fails = false
  log.append(3)
  log.writer.close()
  const state = inspectLog(nodeFiles, log.dir)
  expect(formatPosition(state.last)).toBe(formatPosition(log.position))
  expect(state.torn).toBeUndefined()
})

test('an encoder that throws leaves the log unchanged', () => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  log.append(2)
  const position = log.position
  expect(() => log.appendOne({ commit: 0 })).toThrow()
  expect(log.position).toEqual(position)
  log.append()
  log.writer.close()
  expect(inspectLog(nodeFiles, log.dir).entries).toHaveLength(3)
})

test.each([1 << 30, 1_000])(
  'after a failed fsync nothing is accepted until all that is not durable has been written anew, in segments of %i bytes',
  (segmentSizeBytes) => {
    using temporary = temporaryDirectory()
    const clock = { ms: 0 }
    let fails = false
    const files = failingFiles(nodeFiles, (operation) => (fails && operation === 'sync' ? 'EIO' : undefined))
    const log = new TestLog(`${temporary.dir}/a.ltx`, { files, segmentSizeBytes, nowMs: () => clock.ms })
    log.append(20)
    const inodes = () => log.segments.map((name) => fs.statSync(`${log.dir}/${name}`).ino)
    const before = inodes()
    fails = true
    for (let attempt = 0; attempt < 5; attempt++, clock.ms += 10_000) {
      expect(() => log.writer.sync()).toThrow('could not be made durable')
      expect(() => log.append()).toThrow('could not be made durable')
      expect(() => log.writer.beginSync()).toThrow('could not be made durable')
    }
    fails = false
    clock.ms -= 9_999
    expect(() => log.append(), 'the next attempt is not due').toThrow('could not be made durable')
    clock.ms += 9_999
    log.append()
    expect(log.position.txid).toBe(21n)
    for (const [at, ino] of inodes().slice(0, before.length).entries()) expect(ino).not.toBe(before[at])
    log.writer.sync()
    log.writer.close()
    expect(fs.readdirSync(log.dir).filter((name) => !name.endsWith('.ltxlog'))).toEqual(['base.json'])
    const state = inspectLog(nodeFiles, log.dir)
    expect(state.entries).toHaveLength(21)
    expect(formatPosition(state.last)).toBe(formatPosition(log.position))
  },
)

test('a log that cannot read back what it wrote accepts nothing', () => {
  using temporary = temporaryDirectory()
  let fails = false
  const files = failingFiles(nodeFiles, (operation) => (fails && operation === 'sync' ? 'EIO' : undefined))
  const clock = { ms: 0 }
  const log = new TestLog(`${temporary.dir}/a.ltx`, { files, nowMs: () => clock.ms })
  log.append(3)
  fails = true
  expect(() => log.writer.sync()).toThrow()
  fails = false
  const segment = `${log.dir}/${log.segments[0]}`
  const fd = fs.openSync(segment, 'r+')
  fs.writeSync(fd, Buffer.alloc(64, 7), 0, 64, fs.fstatSync(fd).size - 200)
  fs.closeSync(fd)
  for (let attempt = 0; attempt < 3; attempt++, clock.ms += 10_000) expect(() => log.append()).toThrow('damaged')
})

test('a log that could not cut off a failed append does so before the next one', () => {
  using temporary = temporaryDirectory()
  const fails = new Set<FailingOperation>()
  const files = failingFiles(nodeFiles, (operation) => (fails.has(operation) ? 'EIO' : undefined))
  const log = new TestLog(`${temporary.dir}/a.ltx`, { files })
  log.append(3)
  const position = log.position
  fails.add('write').add('truncate')
  expect(() => log.append()).toThrow()
  expect(log.position).toEqual(position)
  const torn = inspectLog(nodeFiles, log.dir)
  expect(formatPosition(torn.last)).toBe(formatPosition(position))
  expect(torn.torn).toBeDefined()
  expect(() => log.append(), 'the disk still fails').toThrow()
  fails.clear()
  log.append()
  const state = inspectLog(nodeFiles, log.dir)
  expect(formatPosition(state.last)).toBe(formatPosition(log.position))
  expect(state.torn).toBeUndefined()
})

test.each([1, 9_000])('a transaction of %i pages that is not confirmed, or retracted, is in no log', (pages) => {
  using temporary = temporaryDirectory()
  const log = new TestLog(`${temporary.dir}/a.ltx`)
  log.append(2)
  const { position } = log
  const segment = `${log.dir}/${log.segments[0]}`
  const before = fs.readFileSync(segment)
  const late = () => {
    throw new Error('too late')
  }
  expect(() => log.appendOne({}, pages, late)).toThrow('too late')
  expect(fs.readFileSync(segment).equals(before)).toBe(true)
  log.append(1, pages)
  log.writer.sync()
  log.writer.retract()
  expect(log.position).toEqual(position)
  expect(fs.readFileSync(segment).equals(before)).toBe(true)
  log.append()
  log.writer.close()
  expect(formatPosition(inspectLog(nodeFiles, log.dir).last)).toBe(formatPosition(log.position))
})

test('sync makes durable every segment written since the last sync, and the names of new ones', () => {
  using temporary = temporaryDirectory()
  const synced: string[] = []
  const paths = new Map<number, string>()
  const files = {
    ...nodeFiles,
    open: (path: string, flags: number, mode?: number) => {
      const fd = nodeFiles.open(path, flags, mode)
      paths.set(fd, path)
      return fd
    },
    sync: (fd: number) => void synced.push(paths.get(fd) ?? ''),
    syncDirectory: (path: string) => void synced.push(path),
  }
  const log = new TestLog(`${temporary.dir}/a.ltx`, { files, segmentSizeBytes: 1_000 })
  log.append(10)
  synced.length = 0
  log.writer.sync()
  expect(log.segments.length).toBeGreaterThan(2)
  expect(new Set(synced)).toEqual(new Set([...log.segments.map((name) => `${log.dir}/${name}`), log.dir]))
  synced.length = 0
  log.writer.sync()
  expect(synced).toEqual([])
  log.writer.close()
})

test('an idle log holds a descriptor only while it is unsynced, and continues where it was', () => {
  using temporary = temporaryDirectory()
  const open = new Set<number>()
  const files = {
    ...nodeFiles,
    open: (path: string, flags: number, mode?: number) => {
      const fd = nodeFiles.open(path, flags, mode)
      if (path.endsWith('.ltxlog')) open.add(fd)
      return fd
    },
    close: (fd: number) => {
      open.delete(fd)
      nodeFiles.close(fd)
    },
  }
  const log = new TestLog(`${temporary.dir}/a.ltx`, { files, segmentSizeBytes: 1_000 })
  for (let round = 0; round < 5; round++) {
    log.append(3)
    log.writer.closeIdle()
    expect(open.size).toBeGreaterThan(0)
    log.writer.sync()
    expect(open.size).toBe(1)
    log.writer.closeIdle()
    expect(open.size).toBe(0)
    log.writer.closeIdle()
    log.writer.sync()
  }
  const { position } = log
  log.writer.close()
  expect(open.size).toBe(0)
  log.reopen()
  expect(open.size).toBe(0)
  expect(log.position).toEqual(position)
  log.append()
  expect(inspectLog(nodeFiles, log.dir).entries).toHaveLength(16)
  log.writer.close()
})
