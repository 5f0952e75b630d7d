import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { sleepAwake, unlessAborted } from './waits.ts'

test('what is abandoned, before or while it is awaited, may fail without ending the process', async () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', note)
  try {
    const aborted = AbortSignal.abort(new Error('stopped'))
    await expect(unlessAborted(aborted, Promise.reject(new Error('failed before')))).rejects.toThrow('stopped')
    let fail = (_: Error): void => undefined
    const late = new Promise<never>((_, reject) => (fail = reject))
    const controller = new AbortController()
    const waiting = unlessAborted(controller.signal, late)
    controller.abort(new Error('stopped'))
    await expect(waiting).rejects.toThrow('stopped')
    fail(new Error('failed later'))
    for (let i = 0; i < 3; i++) await setImmediate()
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', note)
  }
})

test('a process that was suspended has time to read what came meanwhile before it takes that for silence', async () => {
  let isRead = false
  const late = sleepAwake(100, new AbortController().signal).then(() => isRead)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
  void setImmediate().then(() => (isRead = true))
  expect(await late).toBe(true)
})
