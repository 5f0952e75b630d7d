import { describe, expect, it } from 'vitest'
import { objectStoreConformance } from '../conformance.ts'
import { MemoryStore } from './memory.ts'

objectStoreConformance('memory', async () => new MemoryStore())

describe('memory', () => {
  it('records the object’s time as its layout does', async () => {
    const timestampMs = 1_700_000_000_123
    const directory = new MemoryStore({ layout: 'directory' })
    await directory.put('t', Buffer.from('x'), { timestampMs })
    expect((await directory.head('t'))?.lastModifiedMs).toBe(timestampMs)
    const bucket = new MemoryStore({ now: () => 7 })
    await bucket.put('t', Buffer.from('x'), { timestampMs })
    expect((await bucket.head('t'))?.lastModifiedMs).toBe(7)
  })

  it('copies the caller’s buffers', async () => {
    const store = new MemoryStore()
    const bytes = Buffer.from('mine')
    await store.put('x', bytes)
    bytes.fill(0)
    for await (const chunk of await store.get('x')) {
      expect(Buffer.from(chunk).toString()).toBe('mine')
      chunk.fill(0)
    }
    for await (const chunk of await store.get('x')) expect(Buffer.from(chunk).toString()).toBe('mine')
  })
})
