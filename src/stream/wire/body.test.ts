import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Body } from './body.ts'

async function read(body: Body): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(piece)
  return pieces
}

test('the bytes come out in order, and each is consumed once, however they are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 9_000 }), { maxLength: 12 }), async (chunks) => {
      let consumed = 0
      const body = new Body((bytes) => (consumed += bytes))
      const reading = read(body)
      for (const chunk of chunks) {
        body.push(chunk)
        if (chunk.length % 2 === 0) await Promise.resolve()
      }
      body.end()
      const all = Buffer.concat(chunks)
      expect(Buffer.concat(await reading)).toEqual(all)
      expect(consumed).toBe(all.length)
    }),
  )
})

test('I10: many pieces of a byte wait as a few large ones', async () => {
  const body = new Body(() => undefined)
  const whole = new Uint8Array(1 << 17).fill(7)
  for (let at = 0; at < whole.length; at++) body.push(whole.subarray(at, at + 1))
  body.end()
  const pieces = await read(body)
  expect(pieces.length).toBeLessThan(4)
  expect(Buffer.concat(pieces)).toEqual(Buffer.from(whole))
})

test('what is discarded counts as consumed', () => {
  let consumed = 0
  const body = new Body((bytes) => (consumed += bytes))
  body.push(new Uint8Array(10))
  body.push(new Uint8Array(5_000))
  body.discard()
  body.push(new Uint8Array(7))
  expect(consumed).toBe(5_017)
})
