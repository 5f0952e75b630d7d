import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { CALLS } from '../conformance.ts'
import { PromptStore } from '../stores/prompt-store.ts'
import { DirectoryStore } from './store.ts'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** All file operations of this process wait, as on a disk that does not answer, until `end`. */
function hang(dir: string): () => Promise<void> {
  const threads = Number(process.env.UV_THREADPOOL_SIZE ?? 4)
  const pipes = Array.from({ length: threads }, (_, i) => join(dir, `pipe-${i}`))
  execFileSync('mkfifo', pipes)
  const opened = pipes.map((pipe) => fs.promises.open(pipe, 'r'))
  return async () => {
    const writers = pipes.map((pipe) => fs.openSync(pipe, fs.constants.O_RDWR | fs.constants.O_NONBLOCK))
    for (const handle of await Promise.all(opened)) await handle.close()
    for (const fd of writers) fs.closeSync(fd)
  }
}

async function hungStore() {
  const dir = fs.mkdtempSync(join(tmpdir(), 'ltxd-hanging-'))
  ends.push(() => fs.rmSync(dir, { recursive: true }))
  const store = new DirectoryStore(join(dir, 'store'))
  await store.put('x', Buffer.from('old'))
  ends.push(hang(dir))
  return store
}

test.each(Object.entries(CALLS))('while the disk does not answer, %s ends with its signal', async (_, call) => {
  const store = await hungStore()
  const control = new AbortController()
  const outcome = call(store, control.signal).catch((error: unknown) => error)
  setImmediate(() => control.abort(new Error('the node stops')))
  expect(await outcome).toMatchObject({ message: 'the node stops' })
})

test.each(Object.entries(CALLS))('while the disk does not answer, %s ends with the node’s signal', async (_, call) => {
  const stop = new AbortController()
  const store = new PromptStore(await hungStore(), stop.signal)
  const outcome = call(store, new AbortController().signal).catch((error: unknown) => error)
  setImmediate(() => stop.abort(new Error('the node stops')))
  expect(await outcome).toMatchObject({ message: 'the node stops' })
})
