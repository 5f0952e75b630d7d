import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { StoreUnavailableError } from '../errors.ts'
import type { ObjectStore } from '../objectstore.ts'
import { MemoryStore } from './memory.ts'
import { PromptStore } from './prompt-store.ts'

const forever = () => new Promise<never>(() => undefined)
const silence = { [Symbol.asyncIterator]: () => ({ next: forever, return: forever }) }

async function read<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of stream) found.push(item)
  return found
}

/** A server that accepts requests and never answers; a read answers with its first byte only. */
function hanging(): ObjectStore {
  const hung = { get: async () => silence, head: forever, list: () => silence }
  return Object.assign(Object.create(new MemoryStore()) as ObjectStore, hung)
}

describe('a store with a time limit', () => {
  it('fails when it hangs, whatever is read', async () => {
    const store = new PromptStore(hanging(), undefined, 20)
    const asked = [store.head('a'), read(store.list('')), store.get('a').then((stream) => read(stream))]
    for (const outcome of await Promise.allSettled(asked)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(StoreUnavailableError) as unknown })
      expect(outcome).toMatchObject({
        reason: { message: expect.stringMatching(/no answer within 0\.02 s/) as string },
      })
    }
  })

  it('ends with the signal', async () => {
    const control = new AbortController()
    const asked = read(new PromptStore(hanging(), control.signal).list(''))
    control.abort(new Error('enough'))
    await expect(asked).rejects.toThrow('enough')
    await expect(new PromptStore(hanging(), control.signal).head('a')).rejects.toThrow('enough')
  })

  it('otherwise behaves like the store it wraps', async () => {
    const store = new PromptStore(new MemoryStore())
    for (const key of ['a', 'b', 'c']) await store.put(key, Buffer.from(key))
    expect((await read(store.list(''))).map(({ key }) => key)).toEqual(['a', 'b', 'c'])
    for await (const { key } of store.list('')) if (key === 'b') break
    expect(Buffer.concat(await read(await store.get('b'))).toString()).toBe('b')
    expect(await store.head('d')).toBeUndefined()
    await store.delete(['a'])
    expect(await store.head('a')).toBeUndefined()
  })

  it('listens to its signal once, however many requests are under way, and not at all without one', async () => {
    const stop = new AbortController()
    const listeners = () => getEventListeners(stop.signal, 'abort').length
    const answers: (() => void)[] = []
    const head = () => new Promise<undefined>((resolve) => answers.push(() => resolve(undefined)))
    const store = new PromptStore(Object.assign(new MemoryStore(), { head }), stop.signal)
    const asked = Array.from({ length: 50 }, (_, i) => store.head(`object-${i}`))
    expect(listeners()).toBe(1)
    for (const answer of answers.splice(25)) answer()
    await Promise.all(asked.slice(25))
    expect(listeners()).toBe(1)
    for (const answer of answers) answer()
    await Promise.all(asked)
    expect(listeners()).toBe(0)
  })

  it('ends every request under way with the signal', async () => {
    const stop = new AbortController()
    const store = new PromptStore(hanging(), stop.signal)
    const asked = Array.from({ length: 20 }, (_, i) => store.head(`object-${i}`))
    stop.abort(new Error('the node stops'))
    for (const each of asked) await expect(each).rejects.toThrow('the node stops')
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  })
})
