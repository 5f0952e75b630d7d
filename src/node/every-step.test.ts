import { expect, test } from 'vitest'
import { everyStep } from './every-step.ts'

test('every step of a stop is taken, in order, also where one before it has failed', async () => {
  const taken: number[] = []
  const steps = [1, 2, 3, 4].map((step) => async () => {
    await Promise.resolve()
    taken.push(step)
    if (step % 2 === 0) throw new Error(`step ${step}`)
  })
  const failed = () => {
    throw new Error('at once')
  }
  const all = everyStep([...steps, failed, () => undefined, () => taken.push(7)])
  await expect(all).rejects.toThrow('step 2')
  expect(taken).toEqual([1, 2, 3, 4, 7])
})
