import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { S3Store } from './store.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
  vi.unstubAllEnvs()
})

const RANGE = 1000
const object = Buffer.from(Uint8Array.from({ length: 12_345 }, (_, i) => (i * 7) % 251))

/** A server with one object. It cuts each answer to a request for the whole of it after `cutAt` bytes. */
async function bucketWith({ etagOf, cutAt = Infinity }: { etagOf: (request: number) => string; cutAt?: number }) {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'key')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
  let requests = 0
  const server = createServer((request, response) => {
    const etag = etagOf(++requests)
    const match = request.headers['if-match']
    // RFC 9110, 13.1.1: a weak one never matches.
    if (match !== undefined && (match !== etag || etag.startsWith('W/'))) return void response.writeHead(412).end()
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    const body = from === undefined ? object : object.subarray(Number(from), Number(to) + 1)
    response.writeHead(from === undefined ? 200 : 206, {
      etag,
      'last-modified': 'Mon, 30 Nov 2026 12:00:00 GMT',
      'content-length': body.length,
      ...(from !== undefined && { 'content-range': `bytes ${from}-${to}/${object.length}` }),
    })
    if (from !== undefined || body.length <= cutAt) return void response.end(body)
    response.write(body.subarray(0, cutAt), () => setImmediate(() => response.destroy()))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const address = { url: 's3://bucket', bucket: 'bucket', prefix: '', endpoint, forcePathStyle: true }
  const store = new S3Store(address, { rangeBytes: RANGE })
  cleanups.push(
    () => store.close(),
    () => server.closeAllConnections(),
    () => server.close(),
  )
  return async () => {
    const chunks: Uint8Array[] = []
    for await (const chunk of await store.get('key')) chunks.push(chunk)
    return { isWhole: Buffer.concat(chunks).equals(object), requests }
  }
}

it('a large object with a weak ETag is read by one request', async () => {
  const read = await bucketWith({ etagOf: () => 'W/"a"' })
  expect(await read()).toEqual({ isWhole: true, requests: 1 })
})

it('its rest is requested again where the connection breaks', async () => {
  const read = await bucketWith({ etagOf: () => 'W/"a"', cutAt: 5000 })
  expect(await read()).toEqual({ isWhole: true, requests: 2 })
})

it('is never put together of two objects', async () => {
  const read = await bucketWith({ etagOf: (request) => `W/"${request}"`, cutAt: 5000 })
  await expect(read()).rejects.toThrow(/replaced while it was read/)
})

it('neither is one with a strong ETag', async () => {
  const read = await bucketWith({ etagOf: (request) => `"${Math.min(request, 3)}"` })
  await expect(read()).rejects.toThrow()
})
