import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { CALLS } from '../conformance.ts'
import { openObjectStore } from '../stores/open.ts'
import { PromptStore } from '../stores/prompt-store.ts'

/** A server that takes requests and does not answer, or not to the end. */

let ends: (() => unknown)[] = []

beforeEach(() => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'key')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
  ends = []
})

afterEach(async () => {
  for (const end of ends.reverse()) await end()
  vi.unstubAllEnvs()
})

async function storeOn(listener: RequestListener) {
  const server = createServer((request, response) => {
    request.resume()
    listener(request, response)
  })
  ends.push(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const store = openObjectStore(`s3://bucket/x?endpoint=http://127.0.0.1:${port}&forcePathStyle=true`)
  ends.push(() => store.close())
  return store
}

/** Resolves with the first request. */
function hang(answer: (response: ServerResponse) => void = () => undefined) {
  let arrived: (response: ServerResponse) => void = () => undefined
  const request = new Promise<ServerResponse>((resolve) => (arrived = resolve))
  let count = 0
  const listener: RequestListener = (_, response) => {
    count++
    answer(response)
    arrived(response)
  }
  return { listener, request, count: () => count }
}

const closed = (response: ServerResponse) =>
  response.destroyed ? Promise.resolve() : new Promise<void>((resolve) => response.once('close', resolve))

describe('while the server does not answer', () => {
  test.each(Object.entries(CALLS))(
    '%s ends with its signal, its request with it, and none follows',
    async (_, call) => {
      const { listener, request, count } = hang()
      const store = await storeOn(listener)
      const control = new AbortController()
      const outcome = call(store, control.signal).catch((error: unknown) => error)
      const response = await request
      control.abort(new Error('the node stops'))
      expect(await outcome).toMatchObject({ message: 'the node stops' })
      await closed(response)
      expect(count()).toBe(1)
    },
  )

  test.each(Object.entries(CALLS))('%s ends with the signal of the node', async (_, call) => {
    const { listener, request } = hang()
    const stop = new AbortController()
    const store = new PromptStore(await storeOn(listener), stop.signal)
    const outcome = call(store, new AbortController().signal).catch((error: unknown) => error)
    const response = await request
    stop.abort(new Error('the node stops'))
    expect(await outcome).toMatchObject({ message: 'the node stops' })
    await closed(response)
  })

  test('a read that is too late ends its request', async () => {
    const { listener, request } = hang()
    const store = new PromptStore(await storeOn(listener), undefined, 50)
    await expect(store.head('x')).rejects.toThrow('no answer within 0.05 s')
    await closed(await request)
  })
})

test('a body that stops half-way ends with the signal', async () => {
  const { listener, request } = hang((response) => {
    response.writeHead(200, { 'content-length': '10', etag: '"a"', 'last-modified': new Date().toUTCString() })
    response.write('12345')
  })
  const store = await storeOn(listener)
  const control = new AbortController()
  const read: string[] = []
  const outcome = (async () => {
    for await (const chunk of await store.get('x', undefined, control.signal)) read.push(Buffer.from(chunk).toString())
  })().catch((error: unknown) => error)
  await vi.waitFor(() => expect(read).toEqual(['12345']))
  control.abort(new Error('the node stops'))
  expect(await outcome).toMatchObject({ message: 'the node stops' })
  await closed(await request)
})
