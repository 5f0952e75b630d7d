import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, type DecodedFile, encode } from '../file.ts'
import { NO_CHECKSUM } from '../format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, toTXID } from '../format/types.ts'
import { databaseChecksum, header, pageOf } from '../testing.ts'
import { compact, type CompactOptions } from './compactor.ts'
import { mergePages } from './merge.ts'

/** Opens as a stream of chunks of this size, and counts how many are open. */
function input(bytes: Uint8Array, chunkBytes = 1000, open = { count: 0 }) {
  return {
    open: async function* () {
      open.count++
      try {
        for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.slice(at, at + chunkBytes)
      } finally {
        open.count--
      }
    },
  }
}

async function compacted(files: readonly Uint8Array[], options: CompactOptions = {}, chunkBytes?: number) {
  const compaction = compact(
    files.map((file) => input(file, chunkBytes)),
    options,
  )
  const chunks: Uint8Array[] = []
  for await (const chunk of compaction) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  expect(bytes.length).toBe(compaction.result.sizeBytes)
  const file = decode(bytes)
  expect(file.pages.size).toBe(compaction.result.pageCount)
  expect(file.trailer).toEqual(compaction.result.trailer)
  expect(file.header).toEqual(compaction.result.header)
  return file
}

async function compactedBytes(files: readonly Uint8Array[], options: CompactOptions): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  const inputs = files.map((file) => input(file))
  for await (const chunk of compact(inputs, { ...options, reuseChunks: true })) chunks.push(chunk.slice())
  return Buffer.concat(chunks)
}

/** The pages of a database once a file has been applied to it, in their order. */
function applied(database: Map<number, Uint8Array>, { header, pages }: DecodedFile): [number, Uint8Array][] {
  const merged = [...new Map([...database, ...pages])].sort(([a], [b]) => a - b)
  return merged.filter(([pgno]) => pgno <= header.commit)
}

type Change = { commit: number; pgnos: number[] }

/** A history: each change sets the size and rewrites some pages, and every page that the database grows by. */
const arbitraryHistory = () =>
  fc.array(
    fc.record({
      commit: fc.integer({ min: 1, max: 20 }),
      pgnos: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 6 }),
    }),
    { minLength: 1, maxLength: 8 },
  )

/** The LTX file of each change from `from` on, and the database after the last. */
function record(changes: readonly Change[], from: number, checksums: boolean) {
  const database = new Map<number, Uint8Array>()
  const files: Uint8Array[] = []
  let postApply: Checksum = EMPTY_CHECKSUM
  changes.forEach(({ commit, pgnos }, index) => {
    const before = database.size
    const written = new Set(pgnos.filter((pgno) => pgno <= commit))
    for (let pgno = before + 1; pgno <= commit; pgno++) written.add(pgno)
    for (let pgno = commit + 1; pgno <= before; pgno++) database.delete(pgno)
    const pages = [...written].sort((a, b) => a - b).map((pgno) => [pgno, pageOf(512, index * 100 + pgno)] as const)
    for (const [pgno, page] of pages) database.set(pgno, page)
    const preApplyChecksum: Checksum | 0n = index === 0 || !checksums ? 0n : postApply
    postApply = databaseChecksum(database)
    const fields = { commit, minTXID: toTXID(index + 1), preApplyChecksum, nodeId: 7n, timestampMs: index * 1000 }
    files.push(encode(header({ ...fields, flags: checksums ? 0 : NO_CHECKSUM }), pages, checksums ? postApply : 0n))
  })
  return { files: files.slice(from), database: new Map([...database].sort(([a], [b]) => a - b)), postApply }
}

describe('compaction', () => {
  test('of a whole history is a snapshot of the database', async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryHistory(),
        fc.boolean(),
        fc.integer({ min: 1, max: 700 }),
        async (changes, checksums, size) => {
          const { files, database, postApply } = record(changes, 0, checksums)
          const file = await compacted(files, { noChecksum: !checksums }, size)
          expect([...file.pages]).toEqual([...database])
          expect(file.trailer.postApplyChecksum).toBe(checksums ? postApply : 0n)
          expect(file.header).toMatchObject({
            minTXID: 1n,
            maxTXID: BigInt(changes.length),
            nodeId: 0n,
            preApplyChecksum: 0n,
          })
          expect(file.header.timestampMs).toBe((changes.length - 1) * 1000)
        },
      ),
      { numRuns: 80 },
    )
  }, 30_000)

  test('does not depend on how the files are grouped', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryHistory(), fc.nat(), async (changes, cut) => {
        const { files } = record(changes, 0, true)
        const at = cut % files.length
        const whole = await compacted(files)
        const parts = [files.slice(0, at), files.slice(at)].filter((part) => part.length > 0)
        const compactedParts = await Promise.all(
          parts.map(async (part) => {
            const { header, pages, trailer } = await compacted(part)
            return encode(header, pages, trailer.postApplyChecksum)
          }),
        )
        expect(await compacted(compactedParts)).toEqual(whole)
      }),
      { numRuns: 40 },
    )
  }, 30_000)

  test('in steps writes the same bytes as at once', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryHistory(), fc.nat(), fc.nat(), fc.boolean(), async (changes, start, cut, checksums) => {
        const { files } = record(changes, start % changes.length, checksums)
        const at = cut % (files.length + 1)
        const options = { noChecksum: !checksums }
        const front = at === 0 ? [] : [await compactedBytes(files.slice(0, at), options)]
        const inSteps = await compactedBytes([...front, ...files.slice(at)], options)
        expect(Buffer.compare(inSteps, await compactedBytes(files, options))).toBe(0)
      }),
      { numRuns: 40 },
    )
  }, 30_000)

  test('applied to a database, has the same result as its inputs applied one by one', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryHistory(), fc.nat(), async (changes, start) => {
        const from = start % changes.length
        const { files, database, postApply } = record(changes, from, true)
        const before = record(changes.slice(0, from), 0, true)
        const file = await compacted(files)
        const pgnos = [...file.pages.keys()]
        expect(pgnos).toEqual([...new Set(pgnos)].sort((a, b) => a - b))
        expect(applied(before.database, file)).toEqual([...database])
        expect(
          files.map((bytes) => decode(bytes)).reduce((on, next) => new Map(applied(on, next)), before.database),
        ).toEqual(database)
        expect(file.header.preApplyChecksum).toBe(from === 0 ? 0n : before.postApply)
        expect(file.trailer.postApplyChecksum).toBe(postApply)
        expect(databaseChecksum(applied(before.database, file))).toBe(postApply)
      }),
      { numRuns: 40 },
    )
  }, 30_000)

  test('copies the compressed bytes of a page', async () => {
    const page = pageOf(512, 1)
    const file = encode(header({ commit: 1 }), [[1, page]], databaseChecksum([[1, page]]))
    const chunks: Uint8Array[] = []
    for await (const chunk of compact([input(file)])) chunks.push(chunk)
    expect(Buffer.concat(chunks)).toEqual(Buffer.from(file))
  })

  test('accepts files with and without checksums if it writes none', async () => {
    const { files } = record([{ commit: 2, pgnos: [] }], 0, true)
    const next = encode(header({ flags: NO_CHECKSUM, commit: 2, preApplyChecksum: 0n }), [[2, pageOf(512, 9)]], 0n)
    const file = await compacted([...files, next], { noChecksum: true, headerTimestampMs: 42 })
    expect(file.header).toMatchObject({ flags: NO_CHECKSUM, maxTXID: 2n, timestampMs: 42 })
    expect(file.pages.get(2)).toEqual(pageOf(512, 9))
    await expect(compacted([...files, next])).rejects.toThrow('input 2: flags: the file has no database checksums')
  })

  test('rejects files that do not continue each other', async () => {
    const { files } = record(
      [1, 2, 3].map(() => ({ commit: 1, pgnos: [1] })),
      0,
      true,
    )
    const [one, two, three] = files as [Uint8Array, Uint8Array, Uint8Array]
    await expect(compacted([one, three])).rejects.toThrow('does not continue')
    await expect(compacted([two, one])).rejects.toThrow('does not continue')
    await expect(compacted([one, one])).rejects.toThrow('does not continue')
    const strange = encode(
      header({ commit: 1, preApplyChecksum: (EMPTY_CHECKSUM + 5n) as Checksum }),
      [],
      EMPTY_CHECKSUM,
    )
    await expect(compacted([one, strange])).rejects.toThrow("is not the previous file's post-apply checksum")
    const larger = encode(header({ pageSize: 1024 }), [], EMPTY_CHECKSUM)
    await expect(compacted([one, larger])).rejects.toThrow('page size: 1024 is not the 512 of input 1')
  })

  test('names the damaged input, and closes all inputs', async () => {
    const { files } = record(
      [1, 2].map(() => ({ commit: 3, pgnos: [1] })),
      0,
      true,
    )
    files[1]![files[1]!.length - 1]! ^= 1
    const open = { count: 0 }
    const compaction = compact(files.map((file) => input(file, 64, open)))
    const run = async () => {
      for await (const chunk of compaction) void chunk
    }
    await expect(run()).rejects.toMatchObject({ code: 'LTX_INVALID', field: 'file checksum' })
    await expect(run()).rejects.toThrow('input 2')
    expect(open.count).toBe(0)
  })

  test('stops when its signal is aborted', async () => {
    const { files } = record([{ commit: 20, pgnos: [] }], 0, true)
    const abort = new AbortController()
    const open = { count: 0 }
    const compaction = compact([input(files[0]!, 64, open)], { signal: abort.signal, progress: () => {} })
    abort.abort(new Error('enough'))
    await expect(compaction[Symbol.asyncIterator]().next()).rejects.toThrow('enough')
    expect(open.count).toBe(0)
  })
})

test('a merge returns the newest version of each page, and closes its inputs when it is left early', async () => {
  const { files, database } = record(
    [
      { commit: 5, pgnos: [] },
      { commit: 4, pgnos: [1, 3] },
      { commit: 4, pgnos: [3] },
    ],
    0,
    true,
  )
  const merge = mergePages(files.map((file) => input(file)))
  const pages = new Map<number, Uint8Array>()
  for await (const frame of merge) pages.set(frame.pgno, frame.page().slice())
  expect([...pages]).toEqual([...database])
  expect(merge.first.minTXID).toBe(1n)
  expect(merge.last.commit).toBe(4)

  const open = { count: 0 }
  for await (const frame of mergePages(files.map((file) => input(file, 50, open)))) {
    expect(frame.pgno).toBe(1)
    break
  }
  expect(open.count).toBe(0)
})
