import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { createLogger } from '../util/log.ts'
import { workOf } from '../util/process-work.ts'
import { type Asked, unlessHung, unlessSilent } from './hung.ts'

const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** A process that answers nothing, and runs `script`. */
async function client(script: string): Promise<Asked & { readonly ended: Promise<string> }> {
  const child = spawn(process.execPath, ['-e', `process.stdout.write('.'); ${script}`], { stdio: 'pipe' })
  children.push(child)
  const ended = once(child, 'exit').then(([code, signal]: unknown[]) => String(signal ?? code))
  await once(child.stdout, 'data')
  return {
    ...{ ended, logger: createLogger({ level: 'silent', format: 'json' }) },
    kill: () => void child.kill('SIGKILL'),
    work: () => workOf(child.pid ?? 0),
    answers: (withinMs) => new Promise((resolve) => setTimeout(() => resolve(false), withinMs)),
  }
}

const READS = `const end = Date.now() + 1500; while (Date.now() < end) require('fs').readFileSync('/proc/self/stat')`
const HANGS = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'

test('a local client that works on one order for long, as in a rollback, is not ended', async () => {
  const busy = await client(READS)
  expect(await unlessSilent(busy, 100, busy.ended)).toBe('0')
  const another = await client(READS)
  await unlessHung(
    another,
    100,
    another.ended.then(() => undefined),
    true,
  )
  expect(await another.ended).toBe('0')
})

test('a local client that does nothing is ended', async () => {
  const first = await client(HANGS)
  expect(await unlessSilent(first, 100, first.ended)).toBe('SIGKILL')
  const second = await client(HANGS)
  await unlessHung(
    second,
    100,
    second.ended.then(() => undefined),
    true,
  )
  expect(await second.ended).toBe('SIGKILL')
})

test('where the node stops, a local client that works for too long is ended, too', async () => {
  const busy = await client(READS)
  await unlessHung(
    busy,
    100,
    busy.ended.then(() => undefined),
  )
  expect(await busy.ended).toBe('SIGKILL')
})
