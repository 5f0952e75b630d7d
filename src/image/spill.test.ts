/**
 * Memory does not grow with the database: wherever a backup writes a page index of more than a megabyte, the index
 * spills to a file.
 */
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadHistory } from '../backup/history/history.ts'
import { uploadTransactions } from '../backup/ship/upload.ts'
import { mergedBytes } from '../backup/upkeep/compaction.ts'
import type { LogRecord, LogView } from '../log/view.ts'
import { encode } from '../ltx/file.ts'
import { NO_CHECKSUM } from '../ltx/format/header.ts'
import { EMPTY_CHECKSUM, toTXID } from '../ltx/format/types.ts'
import { header } from '../ltx/testing.ts'
import { MemoryStore } from '../objectstore/stores/memory.ts'
import { InputFold } from './spill.ts'

/** Pages so far apart and so large that each takes five bytes in the list: three for the distance, two for the size. */
const PAGES = 250_000
const GAP = 16_500
const page = new Uint8Array(512)
for (let at = 0; at < 100; at++) page[at] = (at * at) % 251

const NAMELESS = /\/(?:#\d+|\.ltxd-\w+) \(deleted\)$/

let dir: string
let large: Uint8Array
/** The spills that were open while an input was read to its end. */
let seen: string[]

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ltxd-spill-'))
  large = encode(fileHeader(2), pages(PAGES))
})
afterAll(() => rm(dir, { recursive: true }))

function fileHeader(txid: number) {
  return header({ commit: PAGES * GAP, minTXID: toTXID(txid), flags: NO_CHECKSUM, preApplyChecksum: 0n })
}

function* pages(count: number): Iterable<readonly [number, Uint8Array]> {
  for (let n = 1; n <= count; n++) yield [n * GAP, page]
}

/** A file in chunks. The last ones are its index, so by then all of its pages have been written. */
async function* watched(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65536) yield bytes.subarray(at, at + 65536)
  seen.push(...(await openSpills()))
}

/** The nameless files that this process has open, by their paths. */
async function openSpills(): Promise<string[]> {
  const links = await readdir('/proc/self/fd')
  const paths = await Promise.all(links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return paths.filter((path) => NAMELESS.test(path))
}

function input(bytes: Uint8Array) {
  return { open: () => watched(bytes) }
}

async function spillsOf(work: () => Promise<unknown>): Promise<string[]> {
  seen = []
  await work()
  // Other test files in the same process may have some open, in directories of their own.
  const directories = new Set(seen.map((path) => dirname(path)))
  return [tmpdir(), dir].filter((directory) => directories.has(directory))
}

test('a compacted level spills its page index', async () => {
  const store = new MemoryStore()
  const key = 'app.db/ltx/2.ltx'
  await store.put(key, large)
  store.get = async () => watched(large)
  const file = { level: 0, min: toTXID(2), max: toTXID(2), key, sizeBytes: large.length, timestampMs: 0 }
  let sizeBytes = 0
  const spills = await spillsOf(async () => {
    for await (const chunk of mergedBytes(store, [file], {})) sizeBytes += chunk.length
  })
  expect(spills).toEqual([tmpdir()])
  expect(sizeBytes).toBe(large.length)
})

test('a merge of more files than may be open spills its page index', async () => {
  const small = encode(fileHeader(3), pages(1))
  const fold = new InputFold(dir, 2)
  expect(
    await spillsOf(async () => {
      await fold.add(input(large))
      await fold.add(input(small))
    }),
  ).toEqual([dir])
})

test('a shipped transaction spills its page index', async () => {
  const store = new MemoryStore()
  const record = {
    header: { ...fileHeader(2), flags: 0, preApplyChecksum: EMPTY_CHECKSUM },
    postApplyChecksum: EMPTY_CHECKSUM,
  }
  const log = {
    durable: () => ({ txid: toTXID(2), checksum: EMPTY_CHECKSUM }),
    async *records() {
      yield { ...record, bytes: () => watched(large) } as unknown as LogRecord
    },
  } as unknown as LogView
  const from = { txid: toTXID(1), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 512, commit: 1 }
  expect(await spillsOf(() => uploadTransactions(store, 'app.db', log, from, toTXID(2)))).toEqual([tmpdir()])
  const [file] = (await loadHistory(store, 'app.db')).files
  expect(file?.max).toBe(2n)
})
