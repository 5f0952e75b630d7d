/** The promises of every ObjectStore, as tests. Each store's own test file runs this suite over a real store. */

import { describe, expect, it } from 'vitest'
import { InvalidKeyError, InvalidRangeError, ObjectExistsError, ObjectNotFoundError } from './errors.ts'
import type { ObjectStore } from './objectstore.ts'

/** Opens an empty store. The caller removes it after the test. */
export type OpenEmptyStore = () => Promise<ObjectStore>

/** Every call that a store may take long for. */
export const CALLS: Readonly<Record<string, (store: ObjectStore, signal: AbortSignal) => Promise<unknown>>> = {
  put: (store, signal) => store.put('x', text('new'), { signal }),
  'a conditional put': (store, signal) => store.put('y', text('new'), { signal, ifNoneMatch: '*' }),
  'a put of a stream': (store, signal) => store.put('y', chunks('a', 'b'), { signal }),
  get: async (store, signal) => collect(await store.get('x', undefined, signal)),
  'get of a range': async (store, signal) => collect(await store.get('x', { start: 1 }, signal)),
  head: (store, signal) => store.head('x', signal),
  list: async (store, signal) => {
    for await (const _ of store.list('', undefined, signal)) break
  },
  delete: (store, signal) => store.delete(['x'], signal),
  clockMs: (store, signal) => store.clockMs(signal),
}

export function objectStoreConformance(name: string, openEmpty: OpenEmptyStore): void {
  describe(`${name} as an object store`, () => {
    testContent(openEmpty)
    testPuts(openEmpty)
    testReads(openEmpty)
    testListing(openEmpty)
  })
}

/** Content, ranges and metadata. */
function testContent(openEmpty: OpenEmptyStore): void {
  it('returns objects as they were put, from bytes and from a stream', async () => {
    const store = await openEmpty()
    await store.put('a/one', text('first'))
    await store.put('a/two', chunks('sec', '', 'ond'))
    await store.put('a/empty', new Uint8Array())
    expect(await read(store, 'a/one')).toBe('first')
    expect(await read(store, 'a/two')).toBe('second')
    expect(await read(store, 'a/empty')).toBe('')
    await store.close()
  })

  it('reads ranges, both ends inclusive, and rejects ranges outside the object', async () => {
    const store = await openEmpty()
    await store.put('x', text('0123456789'))
    expect(await collect(await store.get('x', { start: 2, end: 4 }))).toBe('234')
    expect(await collect(await store.get('x', { start: 7 }))).toBe('789')
    expect(await collect(await store.get('x', { start: 9, end: 100 }))).toBe('9')
    await expect(store.get('x', { start: 10 })).rejects.toBeInstanceOf(InvalidRangeError)
    await expect(store.get('x', { start: 4, end: 3 })).rejects.toBeInstanceOf(InvalidRangeError)
  })

  it('reports a missing object', async () => {
    const store = await openEmpty()
    await expect(store.get('nothing/here')).rejects.toBeInstanceOf(ObjectNotFoundError)
    expect(await store.head('nothing/here')).toBeUndefined()
    await store.put('nothing/here/below', text('x'))
    expect(await store.head('nothing/here')).toBeUndefined()
    await store.delete(['nothing/here', 'never/was'])
  })

  it('stores metadata and size with the object, and replaces them with it', async () => {
    const store = await openEmpty()
    await store.put('m', text('one'), {
      metadata: { 'ltxd-term': '7', 'litestream-timestamp': '2026-01-01T00:00:00Z' },
    })
    expect(await store.head('m')).toMatchObject({
      key: 'm',
      sizeBytes: 3,
      metadata: { 'ltxd-term': '7', 'litestream-timestamp': '2026-01-01T00:00:00Z' },
    })
    await store.put('m', text('three'), { metadata: { 'ltxd-term': '8' } })
    expect(await store.head('m')).toMatchObject({ sizeBytes: 5, metadata: { 'ltxd-term': '8' } })
    await store.put('m', text('none'))
    expect((await store.head('m'))?.metadata).toEqual({})
  })

  it('lists another ETag after another content, if any, and that which the answer to the put named', async () => {
    const store = await openEmpty()
    const named: string[] = []
    const tags = []
    for (const content of ['one', 'two']) {
      await store.put('tagged', text(content), { onStored: (tag) => named.push(tag) })
      for await (const { etag } of store.list('tagged')) tags.push(etag)
      expect((await store.head('tagged'))?.etag).toBe(tags.at(-1))
    }
    if (store.layout === 's3') expect(new Set(tags).size).toBe(2)
    expect(tags).toEqual(store.layout === 's3' ? named : [undefined, undefined])
  })
}

/** Puts: conditional, concurrent, failing, late. */
function testPuts(openEmpty: OpenEmptyStore): void {
  it('never replaces under If-None-Match: the first object and its metadata stay', async () => {
    const store = await openEmpty()
    const first = { ifNoneMatch: '*', metadata: { by: 'first' } } as const
    await store.put('once', text('first'), first)
    const again = store.put('once', text('second'), { ifNoneMatch: '*', metadata: { by: 'second' } })
    await expect(again).rejects.toBeInstanceOf(ObjectExistsError)
    expect(await read(store, 'once')).toBe('first')
    expect((await store.head('once'))?.metadata).toEqual({ by: 'first' })
  })

  it('lets exactly one of many concurrent writers create an object, and its metadata is the winner’s', async () => {
    const store = await openEmpty()
    const writers = Array.from({ length: 12 }, (_, i) => `writer-${i}`)
    const results = await Promise.allSettled(
      writers.map((by) => store.put('race/x', chunks(by), { ifNoneMatch: '*', metadata: { by } })),
    )
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(ObjectExistsError)
    }
    expect((await store.head('race/x'))?.metadata).toEqual({ by: await read(store, 'race/x') })
  })

  it('leaves no trace of a put whose body fails or that is aborted', async () => {
    const store = await openEmpty()
    const broken = async function* () {
      yield text('half')
      throw new Error('the source broke')
    }
    await expect(store.put('broken', broken())).rejects.toThrow('the source broke')
    await store.put('kept', text('old'))
    await expect(store.put('kept', broken())).rejects.toThrow('the source broke')
    const aborted = store.put('aborted', chunks('a', 'b'), { signal: AbortSignal.abort(new Error('enough')) })
    await expect(aborted).rejects.toThrow('enough')
    expect(await store.head('broken')).toBeUndefined()
    expect(await store.head('aborted')).toBeUndefined()
    expect(await read(store, 'kept')).toBe('old')
    expect(await keys(store, '')).toEqual(['kept'])
  })

  it('makes no object visible when beforeVisible throws, however large it is', async () => {
    const store = await openEmpty()
    let given = 0
    async function* body(count: number) {
      for (; count > 0; count--) {
        given++
        yield Buffer.alloc(1 << 20, 'x')
      }
    }
    for (const count of [1, 20]) {
      given = 0
      const beforeVisible = () => {
        if (given === count) throw new Error('too late')
      }
      const options = { ifNoneMatch: '*', beforeVisible, requestTimeoutMs: 60_000 } as const
      await expect(store.put('late', body(count), options)).rejects.toThrow('too late')
    }
    expect(await keys(store, '')).toEqual([])
    await store.put('in time', text('x'), { beforeVisible: () => undefined })
    expect(await keys(store, '')).toEqual(['in time'])
  })

  it('reports when an object was stored, whatever time the object carries', async () => {
    const store = await openEmpty()
    await store.put('old', text('x'), { timestampMs: 1_000_000 })
    expect((await store.head('old'))?.storedMs).toBeGreaterThan(Date.now() - 3_600_000)
    for await (const info of store.list('')) expect(info.storedMs).toBeGreaterThan(Date.now() - 3_600_000)
  })
}

/** Reads: aborted, and many at once. */
function testReads(openEmpty: OpenEmptyStore): void {
  it('tells its own time, also before any other request', async () => {
    const store = await openEmpty()
    await store.put('x', text('x'))
    expect(Math.abs(((await store.clockMs()) ?? 0) - Date.now())).toBeLessThan(60_000)
  })

  it('stops reading when aborted, with the signal’s reason', async () => {
    const store = await openEmpty()
    await store.put('x', new Uint8Array(4 << 20))
    const early = async () => collect(await store.get('x', undefined, AbortSignal.abort(new Error('enough'))))
    await expect(early()).rejects.toThrow('enough')
    const control = new AbortController()
    const late = async () => {
      for await (const chunk of await store.get('x', undefined, control.signal)) {
        if (chunk.length > 0) control.abort(new Error('now'))
      }
    }
    await expect(late()).rejects.toThrow('now')
  })

  it.each(Object.entries(CALLS))('%s rejects at once when it is aborted, with the signal’s reason', async (_, call) => {
    const store = await openEmpty()
    await store.put('x', text('old'))
    await expect(call(store, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
    expect(await keys(store, '')).toEqual(['x'])
    expect(await read(store, 'x')).toBe('old')
  })

  it('serves one object to many concurrent readers, some of which stop early', async () => {
    const store = await openEmpty()
    const block = Buffer.alloc(1 << 20, 'block')
    await store.put('shared', block)
    const readers = Array.from({ length: 150 }, async (_, i) => {
      const body = await store.get('shared')
      for await (const chunk of body) if (i % 3 === 0 && chunk.length > 0) return 0
      return Buffer.byteLength(await collect(await store.get('shared', { start: block.length - 5 })))
    })
    const lengths = await Promise.all(readers)
    expect(lengths).toEqual(lengths.map((_, i) => (i % 3 === 0 ? 0 : 5)))
  })
}

/** Listing, deletion, keys, large bodies. */
function testListing(openEmpty: OpenEmptyStore): void {
  it('lists ascending by the bytes of the key, below a prefix, after a key', async () => {
    const store = await openEmpty()
    const names = ['a/b/2', 'a/b/10', 'a/b.x', 'a/bc', 'b/ä', 'b/z', 'b/\u{1F600}', 'b/\uFFEE']
    for (const name of [...names].reverse()) await store.put(name, text(name))
    const sorted = [...names].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)))
    expect(await keys(store, '')).toEqual(sorted)
    expect(await keys(store, 'a/b')).toEqual(['a/b.x', 'a/b/10', 'a/b/2', 'a/bc'])
    expect(await keys(store, 'a/b/')).toEqual(['a/b/10', 'a/b/2'])
    expect(await keys(store, 'nowhere/')).toEqual([])
    for (const [i, name] of sorted.entries()) expect(await keys(store, '', name)).toEqual(sorted.slice(i + 1))
    expect(await keys(store, 'a/', 'a/b/1')).toEqual(['a/b/10', 'a/b/2', 'a/bc'])
  })

  it('lists sizes', async () => {
    const store = await openEmpty()
    await store.put('s/1', text('four'))
    for await (const info of store.list('s/')) expect(info).toMatchObject({ key: 's/1', sizeBytes: 4 })
  })

  it('deletes, with metadata', async () => {
    const store = await openEmpty()
    await store.put('d/1', text('1'), { metadata: { a: 'b' } })
    await store.put('d/2', text('2'))
    await store.delete(['d/1'])
    expect(await keys(store, '')).toEqual(['d/2'])
    await store.put('d/1', text('again'), { ifNoneMatch: '*' })
    expect((await store.head('d/1'))?.metadata).toEqual({})
  })

  it('rejects keys that leave its root or that some store could not hold', async () => {
    const store = await openEmpty()
    const short = ['', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a/./b', '..', 'a\0b', 'a\nb']
    const bad = [...short, 'x'.repeat(300), 'a/'.repeat(600) + 'a']
    for (const key of bad) {
      await expect(store.put(key, text('x')), key).rejects.toBeInstanceOf(InvalidKeyError)
      await expect(store.get(key), key).rejects.toBeInstanceOf(InvalidKeyError)
      await expect(store.delete([key]), key).rejects.toBeInstanceOf(InvalidKeyError)
    }
    await expect(keys(store, '../')).rejects.toBeInstanceOf(InvalidKeyError)
  })

  it('carries bodies larger than its buffers unchanged', async () => {
    const store = await openEmpty()
    const block = new Uint8Array(1 << 16).map((_, i) => (i * 31) % 251)
    const body = async function* () {
      for (let i = 0; i < 40; i++) yield block
    }
    await store.put('large', body())
    let at = 0
    for await (const chunk of await store.get('large')) {
      for (let i = 0; i < chunk.length; i += 997) expect(chunk[i]).toBe(block[(at + i) % block.length])
      at += chunk.length
    }
    expect(at).toBe(40 * block.length)
  })
}

function text(value: string): Uint8Array {
  return Buffer.from(value)
}

async function* chunks(...values: string[]): AsyncIterable<Uint8Array> {
  for (const value of values) yield text(value)
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const chunk of body) parts.push(Uint8Array.from(chunk))
  return Buffer.concat(parts).toString()
}

async function read(store: ObjectStore, key: string): Promise<string> {
  return collect(await store.get(key))
}

async function keys(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  const found: string[] = []
  for await (const info of store.list(prefix, startAfter)) found.push(info.key)
  return found
}
