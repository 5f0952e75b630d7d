import type { ByteStream } from './byte-input.ts'
import { type ByteRanges, RangeReadError } from './byte-ranges.ts'

/** The part of a Response that is used. */
export interface RangeResponse {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: ByteStream | null
}

/** What reading from a server may be told. */
export interface FetchRangesOptions {
  /** Sent with every request: an authorization, say. */
  readonly headers?: Readonly<Record<string, string>>
  /** Instead of the global `fetch`. */
  readonly fetch?: (url: string, init: { headers: Record<string, string> }) => Promise<RangeResponse>
}

/** The beginning comes with the answer that tells the file's size: the header, and many a whole file. */
const FIRST_BYTES = 16 * 1024

declare const fetch: NonNullable<FetchRangesOptions['fetch']>

/**
 * A file on a web server or in an object store, by GET with Range. One request now, then one for each read that goes beyond
 * the file's first 16 KiB; a file that is replaced meanwhile is noticed by its ETag or its size. Throws RangeReadError where
 * the server does not do ranges, or, being of another origin, does not let its Content-Range be read (CORS:
 * `Access-Control-Expose-Headers: Content-Range, ETag`).
 */
export async function fetchRanges(url: string | URL, options: FetchRangesOptions = {}): Promise<ByteRanges> {
  const request = options.fetch ?? fetch
  const get = async (offset: number, length: number): Promise<RangeResponse> => {
    const range = `bytes=${offset}-${offset + length - 1}`
    return request(String(url), { headers: { ...options.headers, Range: range } })
  }
  const fail = (problem: string) => new RangeReadError(`${String(url)}: ${problem}`)

  const response = await get(0, FIRST_BYTES)
  const first = await whenFound(response, fail)
  const etag = response.headers.get('ETag')
  const sizeBytes = first.sizeBytes
  const start = await readExactly(response.body, Math.min(FIRST_BYTES, sizeBytes), fail)
  return {
    sizeBytes,
    read: async (offset, length) => {
      if (offset + length <= start.length) return start.slice(offset, offset + length)
      const answer = await get(offset, length)
      const found = await whenFound(answer, fail)
      const changed = found.sizeBytes !== sizeBytes || answer.headers.get('ETag') !== etag
      const elsewhere = found.start !== offset
      if (changed || elsewhere) {
        await answer.body?.getReader().cancel()
        throw fail(changed ? 'the file has been replaced by another' : `byte ${found.start} came, not byte ${offset}`)
      }
      return readExactly(answer.body, length, fail)
    },
  }
}

interface ContentRange {
  readonly start: number
  readonly sizeBytes: number
}

/** Where an answer's bytes lie. Throws, and reads nothing, if it is not an answer to a range. */
async function whenFound(response: RangeResponse, fail: (problem: string) => Error): Promise<ContentRange> {
  const { status, headers, body } = response
  const text = headers.get('Content-Range')
  const [, start, size] = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(text ?? '') ?? []
  const sizeBytes = Number(size)
  // No byte of an empty file can be asked for.
  if (status === 416 && sizeBytes === 0) return { start: 0, sizeBytes }
  if (status === 206 && start !== undefined && Number.isSafeInteger(sizeBytes)) {
    return { start: Number(start), sizeBytes }
  }
  await body?.getReader().cancel()
  if (status === 200) throw fail('the server sent the whole file: it does not do ranges')
  if (status !== 206) throw fail(`the server answered with status ${status}`)
  throw fail(
    text === null
      ? 'the server answered without Content-Range, or does not expose it to other origins'
      : `the server answered with Content-Range "${text}"`,
  )
}

/** No more than was asked for is taken, whatever comes. */
async function readExactly(
  body: ByteStream | null,
  length: number,
  fail: (problem: string) => Error,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  let done = 0
  const reader = body?.getReader()
  for (;;) {
    const chunk = await reader?.read()
    if (chunk?.value === undefined || chunk.done) break
    if (done + chunk.value.length > length) {
      await reader?.cancel()
      throw fail(`more than the ${length} bytes came that were asked for`)
    }
    bytes.set(chunk.value, done)
    done += chunk.value.length
  }
  if (done < length) throw fail(`${done} bytes came of the ${length} that were asked for`)
  return bytes
}
