/** The S3 store with real servers: versitygw 1.8.0, and MinIO if it is installed. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { uploadTransactions } from '../../src/backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../../src/backup/testing.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { objectStoreConformance } from '../../src/objectstore/conformance.ts'
import { ObjectExistsError } from '../../src/objectstore/errors.ts'
import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import { S3Store } from '../../src/objectstore/s3/store.ts'
import { parseS3Url } from '../../src/objectstore/s3/url.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { CuttingProxy } from '../harness/cutting-proxy.ts'
import { SEED } from '../harness/effort.ts'
import { findS3Server, freePort, S3_SERVERS, S3Server, type S3ServerName } from '../harness/s3-server.ts'

const MIB = 1 << 20

// Every run needs versitygw. MinIO is optional.
if (findS3Server('versitygw') === undefined && process.env.CI === 'true') throw new Error('versitygw is not installed')
const servers = S3_SERVERS.filter((name) => name === 'versitygw' || findS3Server(name) !== undefined)

describe.each(servers)('%s', (name) => {
  describe.skipIf(findS3Server(name) === undefined)('as a store', () => suite(name))
})

function suite(name: S3ServerName): void {
  let server: S3Server
  const before = { ...process.env }
  beforeAll(async () => {
    server = await S3Server.start(name)
    Object.assign(process.env, server.environment)
  })
  afterAll(async () => {
    await server?.stop()
    process.env = before
  })
  const opened: ObjectStore[] = []
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
  })
  const open = (url: string, options?: { partBytes: number }) => {
    const store = new S3Store(parseS3Url(new URL(url), url), options)
    opened.push(store)
    return store
  }

  objectStoreConformance(name, async () => {
    const store = openObjectStore(await server.freshUrl())
    opened.push(store)
    return store
  })

  it('touches only its prefix, which may be empty', async () => {
    const url = await server.freshUrl('')
    const root = open(url)
    await root.put('a/x', Buffer.from('1'))
    await root.put('ab/x', Buffer.from('2'))
    const below = open(url.replace('/?', '/a?'))
    expect(await keys(below, '')).toEqual(['x'])
    expect(await keys(root, '')).toEqual(['a/x', 'ab/x'])
    await below.delete(['x'])
    expect(await keys(root, '')).toEqual(['ab/x'])
  })

  it('uploads large bodies in parts with their metadata, and reads them from the middle', async () => {
    const url = await server.freshUrl()
    const store = open(url, { partBytes: 5 * MIB })
    const sizes = [5 * MIB, 5 * MIB + 1, 23 * MIB + 12345]
    for (const size of sizes) {
      await store.put(`large/${size}`, pattern(size, 700_001), { ifNoneMatch: '*', metadata: { size: String(size) } })
      expect(await store.head(`large/${size}`)).toMatchObject({ sizeBytes: size, metadata: { size: String(size) } })
      expect(await matches(store, `large/${size}`, 0, size)).toBe(size)
    }
    expect(await matches(store, 'large/5242881', 5_000_000, 5 * MIB + 1)).toBe(242_881)
  })

  it('never replaces an object at the end of a multipart upload, and leaves no parts behind', async () => {
    const url = await server.freshUrl()
    const store = open(url, { partBytes: 5 * MIB })
    const create = { ifNoneMatch: '*' } as const
    await store.put('once', Buffer.from('first'), create)
    await expect(store.put('once', pattern(11 * MIB, MIB), create)).rejects.toBeInstanceOf(ObjectExistsError)

    // The key is taken during the upload of the parts, so the condition fails at completion.
    const late = async function* () {
      yield* pattern(11 * MIB, MIB)
      await store.put('late', Buffer.from('first'), create)
    }
    await expect(store.put('late', late(), create)).rejects.toBeInstanceOf(ObjectExistsError)
    expect((await store.head('late'))?.sizeBytes).toBe(5)

    const broken = async function* () {
      yield* pattern(17 * MIB, MIB)
      throw new Error('the source broke')
    }
    await expect(store.put('broken', broken())).rejects.toThrow('the source broke')
    const control = new AbortController()
    const interrupted = async function* () {
      yield* pattern(11 * MIB, MIB)
      control.abort(new Error('enough'))
      yield* pattern(11 * MIB, MIB)
    }
    await expect(store.put('aborted', interrupted(), { signal: control.signal })).rejects.toThrow('enough')
    expect(await keys(store, '')).toEqual(['late', 'once'])
    expect(await unfinishedUploads(url)).toEqual([])
  })

  it('lets exactly one of several multipart uploads create an object', async () => {
    const url = await server.freshUrl()
    const store = open(url, { partBytes: 5 * MIB })
    const writers = Array.from({ length: 4 }, (_, i) => String(i))
    const results = await Promise.allSettled(
      writers.map((by) => store.put('race', pattern(6 * MIB, MIB), { ifNoneMatch: '*', metadata: { by } })),
    )
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(ObjectExistsError)
    }
    expect((await store.head('race'))?.metadata.by).toBe(
      String(results.findIndex(({ status }) => status === 'fulfilled')),
    )
    expect(await unfinishedUploads(url)).toEqual([])
  })

  it('lists and deletes more than a page of objects', async () => {
    const store = open(await server.freshUrl())
    const names = Array.from({ length: 1010 }, (_, i) => `many/${String(i).padStart(5, '0')}`)
    const rest = [...names]
    const worker = async () => {
      for (let key = rest.pop(); key !== undefined; key = rest.pop()) await store.put(key, Buffer.from('x'))
    }
    await Promise.all(Array.from({ length: 16 }, worker))
    expect(await keys(store, 'many/')).toEqual(names)
    expect(await keys(store, 'many/', 'many/00099')).toEqual(names.slice(100))
    await store.delete([...names.slice(1), 'many/never-was'])
    expect(await keys(store, '')).toEqual(['many/00000'])
  })

  describe('on a bad network', () => {
    let proxy: CuttingProxy
    beforeAll(async () => {
      proxy = await CuttingProxy.start(Number(new URL(server.endpoint).port))
    })
    afterAll(() => proxy.stop())
    const through = (url: string) => url.replace(server.endpoint, `http://127.0.0.1:${proxy.port}`)

    it('continues a read where the connection was cut', async () => {
      const url = await server.freshUrl()
      await open(url).put('x', pattern(6 * MIB, MIB))
      const store = open(through(url))
      proxy.cuts = { times: 3, afterBytes: MIB }
      expect(await matches(store, 'x', 0, 6 * MIB)).toBe(6 * MIB)
      expect(proxy.cutCount).toBe(3)
      proxy.cuts = { times: 1, afterBytes: MIB }
      expect(await matches(store, 'x', 123_456, 5 * MIB)).toBe(5 * MIB - 123_456)
    })

    it('retries a request without an answer; an upload that had succeeded finds its own object, and counts', async () => {
      const url = await server.freshUrl()
      const store = open(through(url))
      const played = new PlayedDatabase('app.db', seeded(SEED))
      played.commit(3)
      const start = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
      for (let times = 1; times <= 3; times++) {
        // Reused connections would not be counted again.
        await store.close()
        proxy.cuts = { times, afterBytes: 0 }
        const { txid } = await uploadTransactions(store, 'app.db', played, start, played.position().txid)
        expect(txid).toBe(played.position().txid)
        expect(proxy.cutCount).toBe(times)
        played.commit(1)
      }
    })
  })

  describe('names the problem, without secrets:', () => {
    const put = (store: ObjectStore) => store.put('k', Buffer.from('x'))
    const url = (bucket: string) => `s3://${bucket}/p?${server.query}`

    it('a bucket that does not exist', async () => {
      const store = open(url('no-such-bucket'))
      for (const call of [() => put(store), () => keys(store, ''), () => store.get('k'), () => store.delete(['k'])]) {
        await expectError(
          call(),
          'STORE_NO_BUCKET',
          /s3:\/\/no-such-bucket\/p\?endpoint=http.*NoSuchBucket.*create the bucket/,
        )
      }
    })

    it('credentials that the store does not know', async () => {
      const known = open(await server.freshUrl())
      await put(known)
      const store = open(known.url)
      await withEnvironment({ AWS_SECRET_ACCESS_KEY: 'hunter2-hunter2' }, async () => {
        await expectError(
          put(store),
          'STORE_CREDENTIALS',
          /cannot write object k in s3:.*SignatureDoesNotMatch.*AWS_SECRET_ACCESS_KEY/,
        )
        await expectError(store.get('k'), 'STORE_CREDENTIALS', /cannot read object k/)
      })
      await withEnvironment({ AWS_ACCESS_KEY_ID: 'nobody' }, async () => {
        await expectError(put(open(known.url)), 'STORE_CREDENTIALS', /InvalidAccessKeyId|XAdminUserNotFound/)
      })
    })

    it('no credentials at all', async () => {
      const nothing = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_PROFILE: '', HOME: '/nonexistent' }
      await withEnvironment({ ...nothing, AWS_EC2_METADATA_DISABLED: 'true' }, () =>
        expectError(
          put(open(url('any-bucket'))),
          'STORE_CREDENTIALS',
          /set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/,
        ),
      )
    })

    it('a server that does not exist, and one that is no S3 server', async () => {
      const unused = await freePort()
      const store = open(`s3://any-bucket/p?endpoint=http://127.0.0.1:${unused}`)
      await expectError(
        keys(store, ''),
        'STORE_UNAVAILABLE',
        /cannot list objects.*ECONNREFUSED.*nothing listens there/,
      )
      const other = createServer((_, response) => response.end('<html><body>Welcome')).listen(0, '127.0.0.1')
      await once(other, 'listening')
      const { port } = other.address() as AddressInfo
      const wrong = open(`s3://any-bucket/p?endpoint=http://127.0.0.1:${port}`)
      await expectError(keys(wrong, ''), 'STORE_UNAVAILABLE', /answer is not an S3 server's/)
      await new Promise((resolve) => other.close(resolve))
    })
  })

  async function unfinishedUploads(url: string): Promise<string[]> {
    const client = await server.client()
    const { Uploads = [] } = await client.listMultipartUploads({ Bucket: new URL(url).hostname })
    client.destroy()
    return Uploads.map(({ Key = '' }) => Key)
  }
}

// No available server rejects a single key on demand, so this answer is written by hand, as S3 documents it.
describe('a successful answer to a deletion', () => {
  const answer = (errors: string) =>
    `<?xml version="1.0"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${errors}</DeleteResult>`

  it.each([
    [
      'of a key that did not exist',
      '<Error><Key>p/a</Key><Code>NoSuchKey</Code><Message>gone</Message></Error>',
      undefined,
    ],
    [
      'of a key that is rejected',
      '<Error><Key>p/b</Key><Code>AccessDenied</Code><Message>No</Message></Error>',
      'STORE_ACCESS_DENIED',
    ],
    [
      'of a key that failed',
      '<Error><Key>p/b</Key><Code>InternalError</Code><Message>Oops</Message></Error>',
      'STORE_UNAVAILABLE',
    ],
  ])('counts for each key: %s', async (_, errors, code) => {
    const others = ['p/a', 'p/b']
      .filter((key) => !errors.includes(key))
      .map((key) => `<Deleted><Key>${key}</Key></Deleted>`)
      .join('')
    const scripted = createServer((_request, response) => response.end(answer(others + errors))).listen(0, '127.0.0.1')
    await once(scripted, 'listening')
    const { port } = scripted.address() as AddressInfo
    const store = openObjectStore(`s3://any-bucket/p?endpoint=http://127.0.0.1:${port}`)
    await withEnvironment({ AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y' }, async () => {
      const deleting = store.delete(['a', 'b'])
      if (code === undefined) await deleting
      else await expectError(deleting, code, /cannot delete 2 objects in s3:.*: b: (No|Oops)/)
    })
    await store.close()
    await new Promise((resolve) => scripted.close(resolve))
  })
})

/** Asserts that the call fails with this code and message, and that the error shows no secret. */
async function expectError(call: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error, String(error)).toMatchObject({ code })
  expect((error as Error).message).toMatch(message)
  expect(inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error)).not.toMatch(
    /hunter2|test-secret|Credential=/,
  )
}

async function withEnvironment(values: Record<string, string>, run: () => Promise<void>): Promise<void> {
  const before = { ...process.env }
  Object.assign(process.env, values)
  try {
    await run()
  } finally {
    process.env = before
  }
}

function byteAt(offset: number): number {
  return (offset * 31 + (offset >> 12)) % 251
}

async function* pattern(size: number, step: number): AsyncIterable<Uint8Array> {
  const chunk = new Uint8Array(step)
  for (let at = 0; at < size; at += step) {
    const length = Math.min(step, size - at)
    for (let i = 0; i < length; i++) chunk[i] = byteAt(at + i)
    // Reuses the same memory, as encoders do.
    yield chunk.subarray(0, length)
  }
}

/** The number of bytes from `start` on that match the pattern. */
async function matches(store: ObjectStore, key: string, start: number, end: number): Promise<number> {
  let at = start
  for await (const chunk of await store.get(key, start === 0 ? undefined : { start, end: end - 1 })) {
    for (let i = 0; i < chunk.length; i++, at++) if (chunk[i] !== byteAt(at)) return at - start
  }
  return at - start
}

async function keys(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  const found: string[] = []
  for await (const { key } of store.list(prefix, startAfter)) found.push(key)
  return found
}
