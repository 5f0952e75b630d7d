/**
 * Results of the library as JSON, which must be the same in every runtime. Runs in Node.js, Bun and a browser, so it
 * uses only the library, fetch and Web Crypto.
 */
import type * as Library from '../../src/ltx/mod.ts'

export interface Scenario {
  /** The results for the files in test/golden, and for files that the library writes. */
  readonly files: Record<string, unknown>
  readonly written: Record<string, unknown>
  readonly pageByRanges: Record<string, unknown>
  readonly refused: Record<string, unknown>
}

const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]

/** `base` is the URL below which the server has `golden/manifest.json` and its files. */
export async function runScenario(library: typeof Library, base: string): Promise<Scenario> {
  const { chunksOf, compact, databaseChecksum, decode, decodeStream, encode, encodeStream } = library
  const { fetchRanges, formatChecksum, LTXError, makeHeader, PageReader, toTXID, verify } = library

  const download = async (name: string) => {
    const response = await fetch(`${base}golden/${name}`)
    if (!response.ok || response.body === null) throw new Error(`${name}: status ${response.status}`)
    return response
  }
  const golden = JSON.parse(await (await download('manifest.json')).text()) as GoldenFile[]

  const files: Record<string, unknown> = {}
  for (const { file } of golden) {
    const stream = decodeStream((await download(file)).body!)
    const header = await stream.header()
    const pages: unknown[] = []
    for await (const [pgno, page] of stream) pages.push({ pgno, sha256: await sha256(page) })
    files[file] = { header: plain(header), pages, trailer: plain(stream.trailer) }
  }

  const written: Record<string, unknown> = {}
  for (const pageSize of PAGE_SIZES) {
    const pages = [1, 2, 3].map((pgno) => [pgno, pageOf(pageSize, pgno)] as const)
    const header = makeHeader({ pageSize, commit: 3, minTXID: toTXID(1), timestampMs: 1_700_000_000_000 })
    const bytes = encode(header, pages)
    const streamed = await collect(encodeStream(header, decodeStream(new Blob([bytes]))))
    const { pageCount, trailer } = await verify(new Blob([bytes]).stream())
    written[`snapshot of pages of ${pageSize} bytes`] = {
      sha256: await sha256(bytes),
      streamed: await sha256(streamed),
      pageCount,
      trailer: plain(trailer),
      checksum: formatChecksum(databaseChecksum(decode(streamed).pages)),
    }
  }
  for (const { file, compactedFrom } of golden) {
    if (compactedFrom === undefined || !file.startsWith('block-4096')) continue
    const noChecksum = golden.some((input) => compactedFrom.includes(input.file) && input.flags !== 0)
    const open = async (name: string) => chunksOf((await download(name)).body!)
    const inputs = compactedFrom.map((name) => ({ name, open: () => open(name) }))
    written[`${file} made anew`] = await sha256(await collect(compact(inputs, { noChecksum })))
  }

  const pageByRanges: Record<string, unknown> = {}
  for (const name of ['large.ltx', 'golden/block-4096-snapshot.ltx']) {
    let requests = 0
    const counting = (url: string, init: { headers: Record<string, string> }) => (requests++, fetch(url, init))
    const reader = await PageReader.open(await fetchRanges(`${base}${name}`, { fetch: counting }))
    const opening = requests
    const pgno = reader.header.commit
    const page = await reader.page(pgno)
    pageByRanges[name] = { pgno, sha256: page && (await sha256(page)), opening, requests }
  }

  const refused: Record<string, unknown> = {}
  const whole = new Uint8Array(await (await download('block-512-snapshot.ltx')).arrayBuffer())
  for (const at of [0, 5, 21, 99, 104, 113, whole.length - 20, whole.length - 1]) {
    const broken = whole.slice()
    broken[at]! ^= 0x81
    try {
      decode(broken)
      refused[at] = 'not at all'
    } catch (error) {
      if (!(error instanceof LTXError)) throw error
      const { name, code, field, offset, message } = error
      refused[at] = { name, code, field, offset, message }
    }
  }
  return { files, written, pageByRanges, refused }
}

interface GoldenFile {
  readonly file: string
  readonly flags: number
  readonly compactedFrom?: string[]
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const blobs: Uint8Array<ArrayBuffer>[] = []
  for await (const chunk of chunks) blobs.push(chunk as Uint8Array<ArrayBuffer>)
  return new Uint8Array(await new Blob(blobs).arrayBuffer())
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes)
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Turns bigints into text, because JSON has none. */
function plain(fields: object): Record<string, unknown> {
  const texts = Object.entries(fields).map(([name, value]: [string, unknown]) => {
    return [name, typeof value === 'bigint' ? value.toString(16) : value]
  })
  return Object.fromEntries(texts) as Record<string, unknown>
}

/** Pages of text, noise and zeroes. */
function pageOf(pageSize: number, seed: number): Uint8Array {
  const page = new Uint8Array(pageSize)
  let state = seed
  const random = () => (state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0)
  for (let at = 0; at < pageSize * 0.75; at++) page[at] = at % 64 < 16 ? random() : 97 + (at % 16)
  return page
}
