/** Writes an object: in one request when it is small, otherwise in parts that become an object all at once. */

import type {
  CompletedPart,
  CompleteMultipartUploadCommandOutput,
  PutObjectCommandOutput,
  S3,
} from '@aws-sdk/client-s3'
import { itemsUnlessAborted, unlessAborted } from '../../util/waits.ts'
import { cutIntoParts } from './parts.ts'
import { ForeignAnswerError, namesUpload, tagOf } from './proof.ts'

export interface PutTarget {
  readonly Bucket: string
  readonly Key: string
  readonly Metadata?: Record<string, string>
}

export interface S3PutOptions {
  /** The size of the first thousand parts. S3 requires 5 MiB at least. */
  readonly partBytes: number
  readonly ifNoneMatch: '*' | undefined
  readonly signal: AbortSignal | undefined
  /** Called right before the request that makes the object visible. */
  readonly beforeVisible: (() => void) | undefined
  readonly onStored: ((etag: string) => void) | undefined
  readonly requestTimeoutMs: number | undefined
  /** Called before a multipart upload. Throws when the upload would be pointless. */
  readonly beforeParts: () => Promise<void>
  /** Runs a request and turns its errors into the store's. Errors of the body pass unchanged. */
  readonly request: <T>(run: () => Promise<T>) => Promise<T>
  /** Called where the answer does not name what was stored. Throws unless the store has the object. */
  readonly confirm: (sizeBytes: number) => Promise<void>
}

/** S3 accepts 10,000 parts. They grow, so that 8 MiB parts reach 430 GiB, and only a huge object has large parts. */
const PARTS_OF_ONE_SIZE = 1000
const MAX_PARTS_IN_FLIGHT = 3
/** The limit of the clean-up after a failure, which must not delay the error; and of that after the caller's signal. */
const ABORT_TIMEOUT_MS = { failed: 10_000, ended: 1_000 } as const

export async function putObject(
  client: S3,
  target: PutTarget,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  options: S3PutOptions,
): Promise<void> {
  if (body instanceof Uint8Array) return putWhole(client, target, body, options)
  const parts = cutIntoParts(body, (index) => options.partBytes * (1 + Math.floor(index / PARTS_OF_ONE_SIZE)))
  try {
    const first = await nextPart(parts, options)
    const second = await nextPart(parts, options)
    if (first === undefined || second === undefined) {
      await putWhole(client, target, first ?? new Uint8Array(), options)
    } else {
      await options.beforeParts()
      await new MultipartPut(client, target, options).run(prepended([first, second], parts))
    }
  } finally {
    // A body that hangs does not keep the call.
    await unlessAborted(options.signal, parts.return()).catch(() => undefined)
  }
}

async function nextPart(parts: AsyncIterator<Uint8Array>, options: S3PutOptions): Promise<Uint8Array | undefined> {
  options.signal?.throwIfAborted()
  const next = await unlessAborted(options.signal, parts.next())
  return next.done === true ? undefined : next.value
}

async function putWhole(client: S3, target: PutTarget, body: Uint8Array, options: S3PutOptions): Promise<void> {
  const condition = options.ifNoneMatch === undefined ? {} : { IfNoneMatch: options.ifNoneMatch }
  options.beforeVisible?.()
  const input = { ...target, ...condition, Body: body, ContentLength: body.length }
  const answer = await timed(options, options.signal, (aborting) => client.putObject(input, aborting))
  await named(answer, body.length, options)
}

async function named(
  answer: PutObjectCommandOutput | CompleteMultipartUploadCommandOutput,
  sizeBytes: number,
  { confirm, onStored }: S3PutOptions,
): Promise<void> {
  if (!namesUpload(answer)) return confirm(sizeBytes)
  const { etag } = tagOf(answer.ETag)
  if (etag !== undefined) onStored?.(etag)
}

class MultipartPut {
  readonly #client: S3
  readonly #target: PutTarget
  readonly #options: S3PutOptions
  readonly #completed: CompletedPart[] = []
  #sizeBytes = 0
  /** None of these rejects. */
  readonly #inFlight = new Set<Promise<void>>()
  /** Ends the uploads of the other parts when one has failed. */
  readonly #failure = new AbortController()
  #failed: { readonly error: unknown } | undefined

  constructor(client: S3, target: PutTarget, options: S3PutOptions) {
    this.#client = client
    this.#target = target
    this.#options = options
  }

  async run(parts: AsyncIterable<Uint8Array>): Promise<void> {
    const { signal } = this.#options
    const UploadId = await timed(this.#options, signal, async (aborting) => {
      const created = await this.#client.createMultipartUpload(this.#target, aborting)
      if (!created.UploadId) throw new ForeignAnswerError('it names no upload')
      return created.UploadId
    })
    const place = { Bucket: this.#target.Bucket, Key: this.#target.Key, UploadId }
    try {
      let number = 0
      for await (const part of itemsUnlessAborted(signal, parts)) {
        while (this.#inFlight.size >= MAX_PARTS_IN_FLIGHT) await Promise.race(this.#inFlight)
        this.#throwIfFailed()
        this.#begin(place, ++number, part)
      }
      await Promise.all(this.#inFlight)
      this.#throwIfFailed()
      await this.#complete(place)
    } catch (error) {
      this.#failure.abort(error)
      await Promise.all(this.#inFlight)
      await this.#abort(place)
      throw error
    }
  }

  #begin(place: UploadPlace, number: number, body: Uint8Array): void {
    const { signal } = this.#options
    const either = signal === undefined ? this.#failure.signal : AbortSignal.any([signal, this.#failure.signal])
    const upload = async () => {
      const input = { ...place, PartNumber: number, Body: body, ContentLength: body.length }
      const ETag = await timed(this.#options, either, async (aborting) => {
        const answer = await this.#client.uploadPart(input, aborting)
        // Without it, the parts could not be joined.
        if (!answer.ETag || !namesUpload(answer)) throw new ForeignAnswerError('it has no ETag')
        return answer.ETag
      })
      this.#completed.push({ PartNumber: number, ETag })
      this.#sizeBytes += body.length
    }
    const running: Promise<void> = upload()
      .catch((error: unknown) => (this.#failed ??= { error }))
      .then(() => void this.#inFlight.delete(running))
    this.#inFlight.add(running)
  }

  #throwIfFailed(): void {
    if (this.#failed !== undefined) throw this.#failed.error
  }

  async #complete(place: UploadPlace): Promise<void> {
    const { ifNoneMatch, signal, beforeVisible } = this.#options
    const Parts = this.#completed.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0))
    const condition = ifNoneMatch === undefined ? {} : { IfNoneMatch: ifNoneMatch }
    beforeVisible?.()
    const answer = await timed(this.#options, signal, (aborting) =>
      this.#client.completeMultipartUpload({ ...place, ...condition, MultipartUpload: { Parts } }, aborting),
    )
    await named(answer, this.#sizeBytes, this.#options)
  }

  /** Abandoned parts cost money. Where even this fails, a lifecycle rule of the bucket must remove them. */
  async #abort(place: UploadPlace): Promise<void> {
    const timeout = AbortSignal.timeout(ABORT_TIMEOUT_MS[this.#options.signal?.aborted === true ? 'ended' : 'failed'])
    await this.#client.abortMultipartUpload(place, aborting(timeout)).catch(() => undefined)
  }
}

interface UploadPlace {
  readonly Bucket: string
  readonly Key: string
  readonly UploadId: string
}

async function* prepended(first: readonly Uint8Array[], rest: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  yield* first
  yield* rest
}

/** One request, including the SDK's own retries, ended by the signal or the timeout. */
function timed<T>(
  { request, requestTimeoutMs }: S3PutOptions,
  signal: AbortSignal | undefined,
  run: (options: { abortSignal?: AbortSignal }) => Promise<T>,
): Promise<T> {
  if (requestTimeoutMs === undefined) return request(() => run(aborting(signal)))
  const timeout = AbortSignal.timeout(requestTimeoutMs)
  const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout])
  return request(() =>
    run(aborting(either)).catch((error: unknown) => {
      if (!timeout.aborted || signal?.aborted === true) throw error
      throw new Error(`no answer within ${requestTimeoutMs / 1000} s`, { cause: error })
    }),
  )
}

export interface Aborting {
  readonly abortSignal?: AbortSignal
}

/** The SDK's options for a request that a signal ends. */
export function aborting(signal: AbortSignal | undefined): Aborting {
  return signal === undefined ? {} : { abortSignal: signal }
}
