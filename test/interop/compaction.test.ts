/** Compaction by ltxd and by superfly/ltx 0.5.3: random chains of files, and broken ones. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { decode } from '../../src/ltx/file.ts'
import { LTXError } from '../../src/ltx/format/errors.ts'
import { HEADER_SIZE, NO_CHECKSUM, TRAILER_SIZE } from '../../src/ltx/format/header.ts'
import { compact } from '../../src/ltx/merge/compactor.ts'
import { pageOf } from '../../src/ltx/testing.ts'
import { findGo, Reference } from '../fuzz/reference/process.ts'
import { effort, SEED } from '../harness/effort.ts'
import { Random } from '../harness/random.ts'
import { fileOf, type History, imageOf, type Pages, randomHistory, randomSpans, type Span } from './histories.ts'

const run = promisify(execFile)
const tool = findTool('ltx')
const present = tool !== undefined && findGo() !== undefined
if (!present && process.env.CI === 'true') throw new Error('the reference tool ltx 0.5.3, or Go, is not installed')

const CHAINS = effort(200, 2000)
const BROKEN_CHAINS = effort(300, 2000)

interface Chain {
  readonly history: History
  readonly spans: readonly Span[]
  readonly files: Uint8Array[]
}

describe.skipIf(!present)(`a chain of files (LTXD_SEED=${SEED})`, () => {
  let reference: Reference
  let dir: string
  beforeAll(async () => {
    reference = await Reference.start()
    dir = await mkdtemp(join(tmpdir(), 'ltxd-'))
  })
  afterAll(async () => {
    await reference.stop()
    await rm(dir, { recursive: true })
  })

  /** Replaces some of the files with files that the reference wrote. */
  async function randomChain(random: Random): Promise<Chain> {
    const history = randomHistory(random)
    const spans = randomSpans(random, history)
    const flags = history.checksums ? 0 : NO_CHECKSUM
    const theirs = random.next()
    const files = spans.map(async (span) => {
      const file = fileOf(history, span)
      return random.next() < theirs ? accepted(await reference.compact([file], flags)) : file
    })
    return { history, spans, files: await Promise.all(files) }
  }

  async function applied(name: string, base: Buffer, file: Uint8Array): Promise<Buffer> {
    const paths = { db: join(dir, `${name}.db`), file: join(dir, `${name}.ltx`) }
    await Promise.all([writeFile(paths.db, base), writeFile(paths.file, file)])
    await run(tool!, ['apply', '-db', paths.db, paths.file], { timeout: 60_000 })
    return readFile(paths.db)
  }

  test(`yields the same database by either compaction: ${CHAINS} random ones`, async () => {
    const random = new Random(SEED)
    for (let n = 0; n < CHAINS; n++) {
      const { history, spans, files } = await randomChain(random)
      const which = `chain ${n}, ${spans.map(({ min, max }) => `${min}-${max}`).join(' ')}`
      const flags = history.checksums ? 0 : NO_CHECKSUM
      const [ours, theirs] = [await compacted(files, flags), accepted(await reference.compact(files, flags))]
      const [read, expected] = [decode(ours), decode(theirs)]
      expect(read.header, which).toEqual(expected.header)
      expect(read.trailer.postApplyChecksum, which).toBe(expected.trailer.postApplyChecksum)
      expect(digest(read.pages), which).toEqual(digest(expected.pages))
      expect((await reference.verify(ours)).outcome, which).toBe('accepted')

      const base = imageOf(history.states[spans[0]!.min - 1]!)
      const final = imageOf(history.states.at(-1)!)
      const databases = await Promise.all([applied('ours', base, ours), applied('theirs', base, theirs)])
      for (const database of databases) expect(Buffer.compare(database, final), which).toBe(0)

      // The reference compacts the output of ltxd further.
      const cut = random.integer(0, files.length)
      const parts = [files.slice(0, cut), files.slice(cut)].filter((part) => part.length > 0)
      const halves = await Promise.all(parts.map((part) => compacted(part, flags)))
      const whole = accepted(await reference.compact(halves, flags))
      expect(digest(decode(whole).pages), which).toEqual(digest(expected.pages))
    }
  })

  test(`that is broken is rejected by both: ${BROKEN_CHAINS} random ones`, async () => {
    const random = new Random(SEED)
    const met = new Map<string, number>()
    for (let n = 0; n < BROKEN_CHAINS; n++) {
      const chain = await randomChain(random)
      const kinds = Object.keys(BREAKAGES) as (keyof typeof BREAKAGES)[]
      const kind = kinds[random.integer(0, kinds.length - 1)]!
      const broken = BREAKAGES[kind](random, chain)
      if (broken === undefined) continue
      const { files, flags } = broken
      const theirs = await reference.compact(files, flags)
      const ours = await compacted(files, flags).catch((error: unknown) => error)
      const which = `chain ${n}: ${kind}`
      expect(theirs.outcome, which).toBe('rejected')
      expect(ours, which).toBeInstanceOf(LTXError)
      expect((ours as LTXError).file, which).toMatch(/^input \d+/)
      met.set(kind, (met.get(kind) ?? 0) + 1)
    }
    expect(Object.keys(BREAKAGES).filter((kind) => !met.has(kind))).toEqual([])
  })

  // Each of these would yield a file that contradicts its inputs.
  test.each(Object.entries(STRICTER))('%s is rejected by ltxd alone', async (_, files) => {
    const inputs = files({ ...randomHistory(new Random(SEED)), checksums: true })
    expect((await reference.compact(inputs, 0)).outcome).toBe('accepted')
    await expect(compacted(inputs, 0)).rejects.toThrow(LTXError)
  })

  test('with checksums can be compacted to a file without them by ltxd alone', async () => {
    const history = { ...randomHistory(new Random(SEED)), checksums: true }
    const files = [fileOf(history, { min: 2, max: 2 })]
    expect((await reference.compact(files, NO_CHECKSUM)).outcome).toBe('rejected')
    const ours = await compacted(files, NO_CHECKSUM)
    expect((await reference.verify(ours)).outcome).toBe('accepted')
  })
})

/** The ways to break a chain. Returns undefined if this one cannot be broken so. */
const BREAKAGES: Record<
  'gap' | 'order' | 'twice' | 'page size' | 'cut' | 'damaged' | 'without checksums',
  (random: Random, chain: Chain) => { files: Uint8Array[]; flags: number } | undefined
> = {
  gap: (_, { history, spans, files }) => {
    const at = spans.findIndex(({ min }, n) => n > 1 && min > spans[n - 2]!.max + 1)
    return at < 0 ? undefined : { files: files.filter((_, n) => n !== at - 1), flags: flagsOf(history) }
  },
  order: (_, { history, files }) => {
    return files.length < 2 ? undefined : { files: files.toReversed(), flags: flagsOf(history) }
  },
  twice: (random, { history, files }) => {
    const at = random.integer(0, files.length - 1)
    return { files: files.toSpliced(at, 0, files[at]!), flags: flagsOf(history) }
  },
  'page size': (_, { history, spans, files }) => {
    if (files.length < 2) return undefined
    const last = fileOf(withOtherPages(history), spans.at(-1)!)
    return { files: [...files.slice(0, -1), last], flags: flagsOf(history) }
  },
  cut: (random, { history, files }) => {
    const at = random.integer(0, files.length - 1)
    const file = files[at]!
    return { files: files.with(at, file.slice(0, random.integer(0, file.length - 1))), flags: flagsOf(history) }
  },
  damaged: (random, { history, files }) => {
    const at = random.integer(0, files.length - 1)
    const file = files[at]!.slice()
    // A flipped bit in a block may have no effect, as an offset into repeated bytes has none.
    const place =
      random.next() < 0.5 ? random.integer(0, HEADER_SIZE - 1) : file.length - random.integer(1, TRAILER_SIZE)
    file[place]! ^= 1 << random.integer(0, 7)
    return { files: files.with(at, file), flags: flagsOf(history) }
  },
  'without checksums': (_, { history, files }) => (history.checksums ? undefined : { files, flags: 0 }),
}

/** Chains that superfly/ltx compacts and ltxd rejects. */
const STRICTER: Record<string, (history: History) => Uint8Array[]> = {
  'a chain whose checksums do not meet': (history) => {
    const [empty, first, ...rest] = history.states
    const other = new Map([...first!, [1, new Uint8Array(history.pageSize)]])
    const beside = { ...history, states: [empty!, other, ...rest] }
    return [fileOf(history, { min: 1, max: 1 }), fileOf(beside, { min: 2, max: 2 })]
  },
  'a chain that knows no checksum in between': (history) => {
    return [fileOf({ ...history, checksums: false }, { min: 1, max: 1 }), fileOf(history, { min: 2, max: 2 })]
  },
  'a chain that leaves pages of its snapshot out': (history) => {
    const [empty, first] = history.states
    const grown = new Map([...first!, [first!.size + 1, first!.get(1)!]])
    // The new page of the database is in no file.
    const holed = { ...history, states: [empty!, first!, grown], written: [history.written[0]!, new Map()] }
    return [fileOf(history, { min: 1, max: 1 }), fileOf(holed, { min: 2, max: 2 })]
  },
}

/** The same transactions with another page size. */
function withOtherPages(history: History): History {
  const pageSize = history.pageSize === 512 ? 1024 : 512
  const resized = (pages: Pages) => new Map([...pages.keys()].map((pgno) => [pgno, pageOf(pageSize, pgno)]))
  return { ...history, pageSize, states: history.states.map(resized), written: history.written.map(resized) }
}

function flagsOf({ checksums }: History): number {
  return checksums ? 0 : NO_CHECKSUM
}

async function compacted(files: readonly Uint8Array[], flags: number): Promise<Uint8Array> {
  const inputs = files.map((file) => ({ open: () => chunksOf(file) }))
  const chunks: Uint8Array[] = []
  for await (const chunk of compact(inputs, { noChecksum: flags === NO_CHECKSUM })) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function* chunksOf(file: Uint8Array) {
  const CHUNK_BYTES = 3000
  for (let at = 0; at < file.length; at += CHUNK_BYTES) yield file.subarray(at, at + CHUNK_BYTES)
}

function accepted(answer: Awaited<ReturnType<Reference['compact']>>): Buffer {
  if (answer.outcome !== 'accepted') throw new Error(`the reference ${answer.outcome}: ${answer.reason}`)
  return answer.body
}

function digest(pages: ReadonlyMap<number, Uint8Array>): [number, string][] {
  return [...pages].map(([pgno, page]) => [pgno, Buffer.from(page).toString('base64')])
}
