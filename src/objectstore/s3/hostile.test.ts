import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { StoreUnavailableError } from '../errors.ts'
import { openObjectStore } from '../stores/open.ts'

/** Whatever answers at the endpoint, an S3 server or not. */

const MEGABYTE = Buffer.alloc(1 << 20, ' ')
/** Far beyond what any call may read. */
const ENDLESS_BYTES = 400 << 20

let servers: { close(): void }[] = []

beforeEach(() => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'key')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
  servers = []
})

afterEach(() => {
  for (const server of servers) server.close()
  vi.unstubAllEnvs()
})

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer((request, response) => {
    request.resume()
    listener(request, response)
  })
  servers.push({
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

async function storeOn(listener: RequestListener) {
  const port = await serve(listener)
  const store = openObjectStore(`s3://bucket/x?endpoint=http://127.0.0.1:${port}&forcePathStyle=true`)
  servers.push({ close: () => void store.close() })
  return store
}

/** Sends spaces until the other side has enough. Returns how much it took through `sent`. */
function endless(response: ServerResponse, sent: { bytes: number }): void {
  const more = () => {
    while (!response.destroyed && sent.bytes < ENDLESS_BYTES) {
      sent.bytes += MEGABYTE.length
      if (!response.write(MEGABYTE)) return void response.once('drain', more)
    }
    response.end()
  }
  more()
}

const list = async (store: Awaited<ReturnType<typeof storeOn>>, prefix = '') => {
  const keys: string[] = []
  for await (const { key } of store.list(prefix)) keys.push(key)
  return keys
}

const listing = (contents: string, next?: string) =>
  `<?xml version="1.0"?><ListBucketResult><Name>bucket</Name><IsTruncated>${next !== undefined}</IsTruncated>${
    next === undefined ? '' : `<NextContinuationToken>${next}</NextContinuationToken>`
  }${contents}</ListBucketResult>`
const item = (key: string) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`

describe('I10: an endless answer ends the call', () => {
  const calls = {
    list: (store) => list(store),
    put: (store) => store.put('k', new Uint8Array(1)),
    delete: (store) => store.delete(['k']),
    'get, with an error,': (store) => store.get('k'),
  } satisfies Record<string, (store: Awaited<ReturnType<typeof storeOn>>) => Promise<unknown>>

  test.each(Object.entries(calls))('of %s', async (name, call) => {
    const sent = { bytes: 0 }
    const store = await storeOn((_, response) => {
      response.writeHead(name.startsWith('get') ? 500 : 200, { 'content-type': 'application/xml' })
      response.write('<?xml version="1.0"?>')
      endless(response, sent)
    })
    await expect(call(store)).rejects.toThrow(/more than .* MiB/)
    expect(sent.bytes).toBeLessThan(ENDLESS_BYTES / 2)
  })
})

test('a listing that never ends and never names an object ends the call', async () => {
  let pages = 0
  const store = await storeOn((_, response) => response.end(listing('', `token-${++pages}`)))
  await expect(list(store)).rejects.toThrow(StoreUnavailableError)
})

test('a listing that goes round in circles ends the call', async () => {
  for (const round of [1, 2, 3]) {
    let pages = 0
    const store = await storeOn((_, response) => response.end(listing(item(`x/${pages}`), `token-${pages++ % round}`)))
    await expect(list(store)).rejects.toThrow(/the same page again/)
    expect(pages).toBeLessThan(10)
  }
})

test('a listing names no keys outside of the prefix', async () => {
  const names = ['../../etc/passwd', '/etc/passwd', 'x/../y', 'xa/b', 'x/a/b', 'x/a/../c', 'x/', 'x/a/', 'y/a/b', 'x/b']
  const store = await storeOn((_, response) => response.end(listing(names.map(item).join(''))))
  expect(await list(store, 'a/')).toEqual(['a/b', 'a/../c'])
})

test('entities of a listing are not expanded without bound', async () => {
  const levels = 'abcdefghi'.split('')
  const entities = levels.map((name, i) => {
    const before = i === 0 ? 'lol' : `&${levels[i - 1]};`.repeat(10)
    return `<!ENTITY ${name} "${before}">`
  })
  const bomb = `<?xml version="1.0"?><!DOCTYPE x [${entities.join('')}]><ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>${item('x/&i;')}</ListBucketResult>`
  const store = await storeOn((_, response) => response.end(bomb))
  const before = process.memoryUsage().rss
  await list(store).catch(() => undefined)
  expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20)
})

test('a redirect is not followed', async () => {
  const visits: string[] = []
  const elsewhere = await serve((request, response) => {
    visits.push(request.url ?? '')
    response.end(listing(''))
  })
  for (const status of [301, 302, 303, 307, 308]) {
    const store = await storeOn((request, response) => {
      response.writeHead(status, { location: `http://127.0.0.1:${elsewhere}${request.url ?? ''}` })
      response.end()
    })
    await expect(list(store)).rejects.toThrow()
    await expect(store.get('k')).rejects.toThrow()
    await expect(store.put('k', new Uint8Array(1))).rejects.toThrow()
  }
  expect(visits).toEqual([])
})

describe('an object', () => {
  const content = Buffer.from('0123456789')
  const STORED = { 'last-modified': 'Mon, 02 Mar 2026 00:00:00 GMT' }

  const read = async (listener: (range: string | undefined, response: ServerResponse) => void, start?: number) => {
    const store = await storeOn((request: IncomingMessage, response) => listener(request.headers.range, response))
    const chunks: Uint8Array[] = []
    const range = start === undefined ? undefined : { start, end: start + 3 }
    for await (const chunk of await store.get('k', range)) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }

  test('is another error when the store sends another range than the one asked for', async () => {
    await expect(
      read((_, response) => {
        response.writeHead(206, { 'content-range': 'bytes 0-3/10', 'content-length': '4', etag: '"a"', ...STORED })
        response.end(content.subarray(0, 4))
      }, 4),
    ).rejects.toThrow('the answer is not the requested range')
    await expect(
      read((_, response) => {
        response.writeHead(206, { 'content-range': 'bytes 4-9/10', 'content-length': '6', etag: '"a"', ...STORED })
        response.end(content.subarray(4))
      }, 4),
    ).rejects.toThrow('the answer is not the requested range')
  })

  test('is not put together from its beginning twice, when the store ignores the range of the rest', async () => {
    let asked = 0
    await expect(
      read((range, response) => {
        response.writeHead(200, { 'content-length': '10', etag: '"a"', ...STORED })
        if (asked++ > 0) return void response.end(content)
        expect(range).toBeUndefined()
        response.write(content.subarray(0, 5), () => setTimeout(() => response.destroy(), 50))
      }),
    ).rejects.toThrow(StoreUnavailableError)
  })

  test('is whole although the connection broke, when the store sends the rest', async () => {
    let asked = 0
    const whole = await read((range, response) => {
      if (asked++ > 0) {
        expect(range).toBe('bytes=5-9')
        response.writeHead(206, { 'content-range': 'bytes 5-9/10', 'content-length': '5', etag: '"a"', ...STORED })
        return void response.end(content.subarray(5))
      }
      response.writeHead(200, { 'content-length': '10', etag: '"a"', ...STORED })
      response.write(content.subarray(0, 5), () => setTimeout(() => response.destroy(), 50))
    })
    expect(whole).toBe('0123456789')
  })
})
