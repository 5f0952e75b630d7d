import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { ToClient } from './client/messages.ts'
import { ReplicaDatabase } from './database.ts'

const NOBODY = { applied: () => undefined, failed: () => undefined }

function database(memory = { bytes: 0 }) {
  const sent: ToClient[] = []
  const send = async (order: ToClient) => void sent.push(order)
  return { sent, database: new ReplicaDatabase({ name: 'app.db', send, memory, ...NOBODY }) }
}

it('every wait for the local client ends when the client does', async () => {
  const { database: waiting } = database()
  const advanced = waiting.advance({ file: 'snapshot', whole: true, timestampMs: 0 })
  const opened = waiting.open([])
  await waiting.apply(new Uint8Array(16 << 20))
  const room = waiting.apply(new Uint8Array(1))
  const idle = waiting.idle()
  waiting.abandon()
  await expect(advanced).rejects.toMatchObject({ code: 'CLIENT_LOST' })
  await expect(opened).rejects.toMatchObject({ code: 'CLIENT_LOST' })
  await room
  await idle
})

it('nothing waits for a local client that has ended before', async () => {
  const { database: abandoned, sent } = database()
  abandoned.abandon()
  await expect(abandoned.advance({ file: 'snapshot', whole: true, timestampMs: 0 })).rejects.toMatchObject({
    code: 'CLIENT_LOST',
  })
  await expect(abandoned.discard()).rejects.toMatchObject({ code: 'CLIENT_LOST' })
  await abandoned.apply(new Uint8Array(1))
  await abandoned.idle()
  expect(sent).toEqual([])
})

it('what waits in memory is bounded over all databases, and one with nothing there always sends a transaction', async () => {
  const memory = { bytes: 0 }
  const held = Array.from({ length: 100 }, () => database(memory).database)
  const waits = held.flatMap((each) => Array.from({ length: 12 }, () => each.apply(new Uint8Array(1 << 20))))
  await setImmediate()
  expect(memory.bytes).toBeLessThanOrEqual((64 + 100) << 20)
  const { database: next, sent } = database(memory)
  await next.apply(new Uint8Array(1000))
  expect(sent).toHaveLength(1)
  for (const each of held) each.abandon()
  await Promise.all(waits)
  expect(memory.bytes).toBe(1000)
})

it('a database of which a transaction failed, or whose client has ended, is not whole until it is replaced', async () => {
  const { database: whole } = database()
  expect(whole.isWhole).toBe(true)
  await whole.apply(new Uint8Array(1))
  whole.receive({ type: 'failed', database: 'app.db', code: 'X', message: 'disk' }, undefined)
  expect(whole.isWhole).toBe(false)
  const advanced = whole.advance({ file: 'snapshot', whole: true, timestampMs: 0 })
  whole.receive({ type: 'applied', database: 'app.db', position: '' }, undefined)
  await advanced
  expect(whole.isWhole).toBe(true)
  whole.abandon()
  expect(whole.isWhole).toBe(false)
})

it('has lost something only if it was received: not when it was opened in a state that needs a snapshot', async () => {
  const { database: opened } = database()
  opened.broken = 'its pages match no transaction in its log'
  opened.abandon()
  expect([opened.isWhole, opened.hasLost]).toEqual([false, false])
  const { database: receiving } = database()
  await receiving.apply(new Uint8Array(1))
  receiving.abandon()
  expect([receiving.isWhole, receiving.hasLost]).toEqual([false, true])
})
