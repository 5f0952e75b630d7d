/** Files of the reference implementation: see test/golden/README.md. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Decoder } from './codec/decoder.ts'
import { INDEX_TAIL_SIZE, pageIndexRange, readFrame, readPageIndex } from './codec/page-index.ts'
import { decode } from './file.ts'
import { NO_CHECKSUM } from './format/header.ts'
import { type Checksum, formatChecksum, parseTXID } from './format/types.ts'
import { compact } from './merge/compactor.ts'
import { PAGE_SIZES } from './testing.ts'

interface Golden {
  readonly file: string
  readonly encoding: 'block' | 'frame'
  readonly flags: number
  readonly pageSize: number
  readonly commit: number
  readonly minTXID: string
  readonly maxTXID: string
  readonly timestampMs: number
  readonly preApplyChecksum: string
  readonly postApplyChecksum: string
  readonly fileChecksum: string
  readonly walOffset: number
  readonly walSize: number
  readonly walSalt1: number
  readonly walSalt2: number
  readonly nodeId: string
  readonly pages: { readonly pgno: number; readonly sha256: string }[]
  readonly compactedFrom?: string[]
}

const folder = new URL('../../test/golden/', import.meta.url)
const load = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)))
const manifest = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8')) as Golden[]

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const pagesOf = (pages: Iterable<readonly [number, Uint8Array]>) =>
  [...pages].map(([pgno, page]) => ({ pgno, sha256: sha256(page) }))

test('the golden files cover every page size, kind and encoding', () => {
  expect([...new Set(manifest.map(({ pageSize }) => pageSize))]).toEqual(PAGE_SIZES)
  const kinds = new Map<string, number>()
  for (const { file } of manifest) {
    const kind = file.replace(/^(block|frame)-\d+-/, '')
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  expect([...kinds.values()]).toEqual(Array<number>(12).fill(2 * PAGE_SIZES.length))
})

describe.each(manifest)('$file of the reference', (golden) => {
  const bytes = load(golden.file)

  test('is decoded to the pages of its manifest', () => {
    const { header, pages, trailer } = decode(bytes)
    const { flags, pageSize, commit, timestampMs, walOffset, walSize, walSalt1, walSalt2 } = golden
    expect(header).toEqual({
      ...{ flags, pageSize, commit, timestampMs, walOffset, walSize, walSalt1, walSalt2 },
      minTXID: parseTXID(golden.minTXID),
      maxTXID: parseTXID(golden.maxTXID),
      preApplyChecksum: BigInt(`0x${golden.preApplyChecksum}`),
      nodeId: BigInt(`0x${golden.nodeId}`),
    })
    expect(pagesOf(pages)).toEqual(golden.pages)
    expect(formatChecksum(trailer.fileChecksum)).toBe(golden.fileChecksum)
    expect(formatChecksum(trailer.postApplyChecksum as Checksum)).toBe(golden.postApplyChecksum)
  })

  test('is decoded to the same pages in chunks of one or a few bytes', () => {
    const step = bytes.length > 4096 ? 61 : 1
    const decoder = new Decoder()
    const pages: [number, Uint8Array][] = []
    const encodings = new Set<string>()
    for (let at = 0; at < bytes.length; at += step) {
      decoder.push(bytes.subarray(at, at + step))
      for (let frame = decoder.next(); frame; frame = decoder.next()) {
        pages.push([frame.pgno, frame.page().slice()])
        encodings.add(frame.encoding)
      }
    }
    decoder.end()
    expect(pagesOf(pages)).toEqual(golden.pages)
    expect([...encodings]).toEqual(golden.pages.length > 0 ? [golden.encoding] : [])
  })

  test('can be read page by page through its index', () => {
    const { header } = decode(bytes)
    const range = pageIndexRange(bytes.subarray(-INDEX_TAIL_SIZE), bytes.length)
    const entries = [...readPageIndex(bytes.subarray(range.start, range.end), header, range)]
    const pages = entries.map((entry) => {
      const frame = bytes.subarray(entry.offset, entry.offset + entry.sizeBytes)
      return [entry.pgno, readFrame(frame, entry, header.pageSize)] as const
    })
    expect(pagesOf(pages)).toEqual(golden.pages)
  })
})

test.each(manifest.filter(({ compactedFrom }) => compactedFrom !== undefined))(
  'compaction of the same files writes $file of the reference',
  async ({ file, flags, compactedFrom = [] }) => {
    const inputs = compactedFrom.map((name) => ({
      name,
      open: async function* () {
        yield load(name)
      },
    }))
    const chunks: Uint8Array[] = []
    for await (const chunk of compact(inputs, { noChecksum: flags === NO_CHECKSUM })) chunks.push(chunk)
    const ours = decode(Buffer.concat(chunks))
    const { header, pages, trailer } = decode(load(file))
    expect(ours.header).toEqual(header)
    expect([...ours.pages]).toEqual([...pages])
    expect(ours.trailer.postApplyChecksum).toBe(trailer.postApplyChecksum)
    // LZ4 blocks are copied, so where the inputs have them nothing at all is different.
    if (compactedFrom.every((name) => name.startsWith('block'))) {
      expect(Buffer.concat(chunks)).toEqual(Buffer.from(load(file)))
    }
  },
)
