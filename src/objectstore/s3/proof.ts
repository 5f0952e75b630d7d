/**
 * Whether an answer is the store's own. Anything between the node and the store, or a server at a wrong address, can
 * answer any request with status 200: a login page, a proxy, a cache. Such an answer is an outage, whatever was asked.
 */

import type { Readable } from 'node:stream'
import type { ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import type { Answer } from './bounded.ts'

/** The answer of something else than the store. */
export class ForeignAnswerError extends Error {
  constructor(problem: string) {
    super(`the answer is not an S3 server's: ${problem}`)
  }
}

/** Ends an answer that is a web page. Errors of a store's own front end (5xx) may be pages: the SDK retries them. */
export function rejectWebPage(answer: Answer): void {
  const type = Object.entries(answer.headers ?? {}).find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? ''
  if (answer.statusCode >= 500 || !/^[^;]*\b(?:x?html|xhtml\+xml)\b/i.test(type)) return
  const body = answer.body as Readable | undefined
  if (typeof body?.destroy === 'function') body.on('error', () => undefined).destroy()
  throw new ForeignAnswerError(`a web page with status ${answer.statusCode}`)
}

/** What S3 says of an object that it has: every answer to GET and HEAD has all of them. */
interface OfObject {
  readonly ETag?: string | undefined
  readonly ContentLength?: number | undefined
  readonly LastModified?: Date | undefined
}

/** Returns the object's length. Throws ForeignAnswerError. */
export function provenLength({ ETag, ContentLength, LastModified }: OfObject): number {
  if (ContentLength === undefined) throw new ForeignAnswerError('it has no length')
  if (!isTag(ETag)) throw new ForeignAnswerError('it has no ETag')
  if (LastModified === undefined) throw new ForeignAnswerError('it has no time of modification')
  return ContentLength
}

interface OfUpload {
  readonly ETag?: string | undefined
  readonly ChecksumCRC32?: string | undefined
  readonly ChecksumCRC32C?: string | undefined
  readonly ChecksumCRC64NVME?: string | undefined
  readonly ChecksumSHA1?: string | undefined
  readonly ChecksumSHA256?: string | undefined
}

/** Whether the answer to an upload names what was stored. Web frameworks add a weak ETag to any answer. */
export function namesUpload(answer: OfUpload): boolean {
  const { ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256 } = answer
  if (isTag(ETag) && !/^W\//i.test(ETag)) return true
  return [ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256].some(
    (sum) => sum !== undefined,
  )
}

/** The ETag as it is compared: listings and answers to HEAD write it with and without quotes. */
export function tagOf(tag: string | undefined): { readonly etag?: string } {
  return isTag(tag) ? { etag: tag.replace(/^W\/|"/gi, '') } : {}
}

function isTag(tag: string | undefined): tag is string {
  return tag !== undefined && tag.replace(/^W\/|"/gi, '') !== ''
}

/** Returns the token of the next page; undefined after the last one. Throws ForeignAnswerError. */
export function provenNextPage(page: ListObjectsV2CommandOutput, prefix: string): string | undefined {
  const { Name, Prefix, KeyCount, IsTruncated, NextContinuationToken, Contents = [], CommonPrefixes = [] } = page
  if (Name === undefined || IsTruncated === undefined) throw new ForeignAnswerError('it is no listing of a bucket')
  if (Prefix !== undefined && Prefix !== prefix) throw new ForeignAnswerError('it is the listing of another prefix')
  const count = Contents.length + CommonPrefixes.length
  if (KeyCount !== undefined && KeyCount !== count)
    throw new ForeignAnswerError(`it lists ${count} of ${KeyCount} objects`)
  if (!IsTruncated) return undefined
  if (!NextContinuationToken) throw new ForeignAnswerError('a listing is cut off, and nothing tells how it continues')
  return NextContinuationToken
}
