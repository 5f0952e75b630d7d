import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Spool } from '../data/spool.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { advance } from './advance.ts'
import type { ToClient } from './client/messages.ts'
import { ReplicaDatabase } from './database.ts'

/** A local client that answers nothing: it hangs. */
function silent() {
  const dir = fs.mkdtempSync(join(tmpdir(), 'ltxd-advance-'))
  onTestFinished(() => fs.rmSync(dir, { recursive: true, force: true }))
  let ordered: (order: ToClient) => void = () => undefined
  const order = new Promise<ToClient>((resolve) => (ordered = resolve))
  const send = (sent: ToClient) => Promise.resolve(ordered(sent))
  const none = { applied: () => undefined, failed: () => undefined, memory: { bytes: 0 } }
  return {
    ...{ dir, order },
    spool: new Spool(filesBeneath(dir), dir),
    database: new ReplicaDatabase({ name: 'app.db', send, ...none }),
  }
}

async function* someBytes() {
  await Promise.resolve()
  yield new Uint8Array(8)
}

const WHOLE = { whole: true, position: undefined, timestampMs: 0 }

test('a file of the backup is waited for no longer when the node stops, although the local client hangs', async () => {
  const { dir, order, spool, database } = silent()
  const stopping = new AbortController()
  const databases = { get: () => Promise.resolve(database) }
  const advanced = advance(spool, databases, 'app.db', someBytes(), WHOLE, stopping.signal)
  expect(await order).toMatchObject({ type: 'advance' })
  expect(fs.readdirSync(`${dir}/spool`)).toHaveLength(1)
  stopping.abort(new Error('the node stops'))
  await expect(advanced).rejects.toThrow('the node stops')
})

test('nor is a database that the local client does not open', async () => {
  const { dir, spool } = silent()
  const stopping = new AbortController()
  const databases = { get: () => new Promise<ReplicaDatabase>(() => undefined) }
  const advanced = advance(spool, databases, 'app.db', someBytes(), WHOLE, stopping.signal)
  stopping.abort(new Error('the node stops'))
  await expect(advanced).rejects.toThrow('the node stops')
  expect(fs.readdirSync(`${dir}/spool`)).toEqual([])
})

test('a file that could not be applied is removed', async () => {
  const { dir, order, spool, database } = silent()
  const databases = { get: () => Promise.resolve(database) }
  const advanced = advance(spool, databases, 'app.db', someBytes(), WHOLE, new AbortController().signal)
  await order
  database.receive(
    { type: 'failed', database: 'app.db', code: 'APPLY_NOT_DATABASE', message: 'a plain file' },
    undefined,
  )
  await expect(advanced).rejects.toThrow('a plain file')
  expect(fs.readdirSync(`${dir}/spool`)).toEqual([])
})
