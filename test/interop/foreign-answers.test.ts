/** Answers with a status of success that are not the store's: a login page, a proxy, a server at a wrong address. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { StoreUnavailableError } from '../../src/objectstore/errors.ts'
import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import { S3Store } from '../../src/objectstore/s3/store.ts'
import { parseS3Url } from '../../src/objectstore/s3/url.ts'
import { type Forged, ForgingProxy, LOGIN_PAGE, type S3Operation } from '../harness/forging-proxy.ts'
import { S3Server } from '../harness/s3-server.ts'

const MIB = 1 << 20
const CREATE = { ifNoneMatch: '*' } as const

let server: S3Server
let proxy: ForgingProxy
let direct: ObjectStore
let store: ObjectStore
const before = { ...process.env }

beforeAll(async () => {
  server = await S3Server.start('versitygw')
  Object.assign(process.env, server.environment)
})

afterAll(async () => {
  await server?.stop()
  process.env = before
})

beforeEach(async () => {
  proxy = await ForgingProxy.start(server.port)
  const url = await server.freshUrl()
  const open = (address: string) => new S3Store(parseS3Url(new URL(address), address), { partBytes: 5 * MIB })
  direct = open(url)
  store = open(url.replace(server.endpoint, `http://127.0.0.1:${proxy.port}`))
  await direct.put('a', Buffer.from('content'), { metadata: { by: 'me' } })
})

afterEach(async () => {
  await store.close()
  await direct.close()
  await proxy.stop()
})

const keys = async (from: ObjectStore) => {
  const found: string[] = []
  for await (const { key } of from.list('')) found.push(key)
  return found
}

const read = async (range?: { start: number; end: number }) => {
  const chunks: Uint8Array[] = []
  for await (const chunk of await store.get('a', range)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

async function* large(): AsyncIterable<Uint8Array> {
  for (let i = 0; i < 12; i++) yield new Uint8Array(MIB).fill(i)
}

const json = (fields: Record<string, string>): Forged => ({
  status: 200,
  headers: { 'content-type': 'application/json', ...fields },
  body: '{"ok":true}',
})

const FORGED: Record<string, Forged> = {
  'a login page': LOGIN_PAGE,
  'a login page without anything else': { ...LOGIN_PAGE, headers: { 'content-type': 'text/html' } },
  'a login page as XHTML': {
    ...LOGIN_PAGE,
    headers: { ...LOGIN_PAGE.headers, 'content-type': 'application/xhtml+xml' },
  },
  'a login page that does not say so': { status: 200, body: LOGIN_PAGE.body ?? '' },
  'an empty body': { status: 200 },
  'an answer without content': { status: 204 },
  'the answer of a web service': json({ etag: 'W/"b-abc"' }),
  'a page that is not found': { ...LOGIN_PAGE, status: 404 },
  'a bare 404': { status: 404, headers: { 'content-type': 'text/plain' }, body: '404 page not found' },
  'a page that forbids': { ...LOGIN_PAGE, status: 412 },
}

const CALLS: readonly [string, S3Operation, () => Promise<unknown>][] = [
  ['a listing', 'List', () => keys(store)],
  ['a put', 'Put', () => store.put('b', Buffer.from('b'))],
  ['a put of a new object', 'Put', () => store.put('b', Buffer.from('b'), { ...CREATE, metadata: { by: 'me' } })],
  ['a get', 'Get', () => read()],
  ['a get of a range', 'Get', () => read({ start: 1, end: 3 })],
  ['a head', 'Head', () => store.head('a')],
  ['a deletion', 'Delete', () => store.delete(['a'])],
  ['the beginning of a multipart upload', 'CreateUpload', () => store.put('b', large())],
  ['a part', 'Part', () => store.put('b', large())],
  ['the end of a multipart upload', 'Complete', () => store.put('b', large())],
]

describe.each(Object.entries(FORGED))('%s is an outage', (_, forged) => {
  test.each(CALLS)('as the answer to %s', async (_name, operation, call) => {
    proxy.forge = (request) => (request.operation === operation ? forged : undefined)
    await expect(call()).rejects.toBeInstanceOf(StoreUnavailableError)
    expect(await keys(direct)).toEqual(['a'])
    proxy.forge = () => undefined
    await call()
  })
})

test('the message of such an outage says what answered, and what to check', async () => {
  proxy.forge = () => LOGIN_PAGE
  await expect(keys(store)).rejects.toThrow(
    /cannot list objects in s3:.*not an S3 server's: a web page with status 200; check the endpoint.*proxy/,
  )
})

test('a listing that is cut off counts as an outage, not as the end', async () => {
  const listing = (fields: string) => ({
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0"?><ListBucketResult>${fields}</ListBucketResult>`,
  })
  const item = '<Contents><Key>some/prefix/a</Key><Size>7</Size></Contents>'
  for (const fields of [
    '',
    `<Name>b</Name>${item}`,
    `<IsTruncated>false</IsTruncated>${item}`,
    `<Name>b</Name><IsTruncated>true</IsTruncated><KeyCount>1</KeyCount>${item}`,
    `<Name>b</Name><IsTruncated>false</IsTruncated><KeyCount>2</KeyCount>${item}`,
    `<Name>b</Name><IsTruncated>false</IsTruncated><Prefix>other/</Prefix>`,
  ]) {
    proxy.forge = () => listing(fields)
    await expect(keys(store), fields).rejects.toThrow(/answer is not an S3 server's/)
  }
  proxy.forge = () => listing(`<Name>b</Name><IsTruncated>false</IsTruncated><KeyCount>1</KeyCount>${item}`)
  expect(await keys(store)).toEqual(['a'])
})

describe('an answer that does not name what was stored', () => {
  beforeEach(() => {
    proxy.passesOn = true
  })

  test.each(['Put', 'Complete'] as const)('counts when the store has the object (%s)', async (operation) => {
    const told = { status: 200, body: operation === 'Put' ? '' : '<CompleteMultipartUploadResult/>' }
    proxy.forge = (request) => (request.operation === operation ? told : undefined)
    const body = operation === 'Put' ? Buffer.from('b') : large()
    await store.put('b', body, { ...CREATE, metadata: { by: 'me ' } })
    expect(await keys(direct)).toEqual(['a', 'b'])
  })

  test('does not count when the store has another object', async () => {
    proxy.passesOn = false
    proxy.forge = ({ operation }) => (operation === 'Put' ? { status: 200 } : undefined)
    await direct.put('b', Buffer.from('theirs'), { metadata: { by: 'them' } })
    const puts = [
      () => store.put('b', Buffer.from('other'), { metadata: { by: 'them' } }),
      () => store.put('b', Buffer.from('theirs'), { metadata: { by: 'me' } }),
    ]
    for (const put of puts) await expect(put()).rejects.toBeInstanceOf(StoreUnavailableError)
    await store.put('b', Buffer.from('theirs'), { metadata: { by: 'them' } })
  })

  test('counts when the objects are gone (a deletion)', async () => {
    proxy.forge = ({ operation }) => (operation === 'Delete' ? { status: 200 } : undefined)
    await store.delete(['a', 'never-was'])
    expect(await keys(direct)).toEqual([])
  })
})

test('an object that appears between the two looks at it is there', async () => {
  let forged = 0
  proxy.forge = ({ operation }) => (operation === 'Head' && forged++ === 0 ? { status: 404 } : undefined)
  expect(await store.head('a')).toMatchObject({ sizeBytes: 7, metadata: { by: 'me' } })
})
