import { expect, it } from 'vitest'
import type { ToClient } from './client/messages.ts'
import { ReplicaDatabase } from './database.ts'

const NOBODY = { applied: () => undefined, failed: () => undefined }

function database() {
  const sent: ToClient[] = []
  const send = async (order: ToClient) => void sent.push(order)
  return { sent, database: new ReplicaDatabase({ name: 'app.db', send, ...NOBODY }) }
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
