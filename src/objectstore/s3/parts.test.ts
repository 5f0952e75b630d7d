import fc from 'fast-check'
import { expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { cutIntoParts } from './parts.ts'

it(`divides any body into parts of the requested sizes, whatever its chunks (LTXD_SEED=${SEED})`, async () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 300_000 }), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(chunks, fc.integer({ min: 1, max: 200_000 }), async (body, size) => {
      const whole = Buffer.concat(body)
      const sizeOf = (index: number) => size + index * 10_000
      const reused = new Uint8Array(300_000)
      const source = async function* () {
        for (const chunk of body) {
          // The source reuses its memory, as encoders do.
          reused.set(chunk)
          yield reused.subarray(0, chunk.length)
        }
      }
      const parts: Uint8Array[] = []
      for await (const part of cutIntoParts(source(), sizeOf)) parts.push(part)
      expect(Buffer.concat(parts).equals(whole)).toBe(true)
      expect(parts.length).toBeGreaterThan(0)
      for (const [i, part] of parts.entries()) {
        if (i < parts.length - 1) expect(part.length).toBe(sizeOf(i))
        else expect(part.length).toBeLessThanOrEqual(sizeOf(i))
      }
      if (whole.length > 0) expect(parts.at(-1)).not.toHaveLength(0)
    }),
    { seed: SEED, numRuns: 60 },
  )
})
