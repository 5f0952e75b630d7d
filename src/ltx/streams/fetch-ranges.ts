import type { ByteStream } from './byte-input.ts'
import { type ByteRanges, RangeReadError } from './byte-ranges.ts'

/** The used part of a Response. */
export interface RangeResponse {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: ByteStream | null
}

/** Options of reading from a server. */
export interface FetchRangesOptions {
  /** Sent with every request, for example an authorization. */
  readonly headers?: Readonly<Record<string, string>>
  /** By default the global `fetch`. */
  readonly fetch?: (url: string, init: { headers: Record<string, string> }) => Promise<RangeResponse>
}

/** The first response brings the file's size and this many bytes: the header, or a small file whole. */
const FIRST_BYTES = 16 * 1024

declare const fetch: NonNullable<FetchRangesOptions['fetch']>

/**
 * A file on a web server or in an object store, read by GET with Range. One request now, then one for each read beyond
 * the file's first 16 KiB. A file that is replaced meanwhile is detected by its ETag or its size. Throws RangeReadError
 * if the server does not support ranges, or is of another origin and does not expose its Content-Range (CORS:
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
  const first = await contentRange(response, fail)
  const etag = response.headers.get('ETag')
  const sizeBytes = first.sizeBytes
  const start = await readExactly(response.body, Math.min(FIRST_BYTES, sizeBytes), fail)
  return {
    sizeBytes,
    read: async (offset, length) => {
      if (offset + length <= start.length) return start.slice(offset, offset + length)
      const answer = await get(offset, length)
      const found = await contentRange(answer, fail)
      const changed = found.sizeBytes !== sizeBytes || answer.headers.get('ETag') !== etag
      if (changed || found.start !== offset) {
        await answer.body?.getReader().cancel()
        const elsewhere = `the response starts at byte ${found.start}: expected byte ${offset}`
        throw fail(changed ? 'the file has been replaced by another' : elsewhere)
      }
      return readExactly(answer.body, length, fail)
    },
  }
}

interface ContentRange {
  readonly start: number
  readonly sizeBytes: number
}

/** The range of a response's body. Throws, and reads nothing, if the response is not partial content. */
async function contentRange(response: RangeResponse, fail: (problem: string) => Error): Promise<ContentRange> {
  const { status, headers, body } = response
  const text = headers.get('Content-Range')
  const [, start, size] = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(text ?? '') ?? []
  const sizeBytes = Number(size)
  // An empty file has no satisfiable range.
  if (status === 416 && sizeBytes === 0) return { start: 0, sizeBytes }
  if (status === 206 && start !== undefined && Number.isSafeInteger(sizeBytes)) {
    return { start: Number(start), sizeBytes }
  }
  await body?.getReader().cancel()
  if (status === 200) throw fail('the server sent the whole file: it does not support ranges')
  if (status !== 206) throw fail(`the server answered with status ${status}`)
  throw fail(
    text === null
      ? 'the server answered without Content-Range, or does not expose it to other origins'
      : `the server answered with Content-Range "${text}"`,
  )
}

/** Throws, and cancels the body, if it has more or fewer bytes than requested. */
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
      throw fail(`the response has more than the ${length} bytes requested`)
    }
    bytes.set(chunk.value, done)
    done += chunk.value.length
  }
  if (done < length) throw fail(`the response has ${done} of the ${length} bytes requested`)
  return bytes
}
