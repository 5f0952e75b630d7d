import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeFrame, FrameParser, PIPE_FRAMES } from './frames.ts'

test('the frames are the same however the bytes are cut', () => {
  const frame = fc.record({ header: fc.object(), body: fc.uint8Array({ maxLength: 50 }) })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 5 }), fc.array(fc.nat(40)), (frames, sizes) => {
      const bytes = Buffer.concat(frames.map(({ header, body }) => encodeFrame(PIPE_FRAMES, header, body)))
      const parser = new FrameParser(PIPE_FRAMES)
      const found: { header: unknown; body: number[] }[] = []
      const push = (chunk: Uint8Array) => {
        for (const { header, body } of parser.push(chunk)) found.push({ header, body: [...body] })
      }
      let at = 0
      for (const size of sizes) {
        push(bytes.subarray(at, at + size))
        at += size
      }
      push(bytes.subarray(at))
      expect(found).toEqual(
        frames.map(({ header, body }) => ({ header: JSON.parse(JSON.stringify(header)) as unknown, body: [...body] })),
      )
    }),
  )
})

test('a length beyond the limit is an error before memory is allocated for it', () => {
  const parser = new FrameParser(PIPE_FRAMES)
  expect(() => [...parser.push(new Uint8Array(8).fill(0xff))]).toThrow('a header of 4294967295 bytes, expected 2 to')
})

test.each([1, 7, 1000, 1 << 20])('I10: a byte costs no more when it comes in chunks of %i', (chunkBytes) => {
  const bytes = encodeFrame(PIPE_FRAMES, {}, new Uint8Array(1 << 18).fill(7))
  const parser = new FrameParser(PIPE_FRAMES)
  const moved = countMoves(() => {
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      for (const { body } of parser.push(bytes.subarray(at, at + chunkBytes))) expect(body).toHaveLength(1 << 18)
    }
  })
  expect(moved).toBeLessThan(3 * bytes.length)
  expect(parser.pendingBytes).toBe(0)
})

/** How many bytes and array elements `work` moves in memory, by the two methods that a queue of chunks uses. */
function countMoves(work: () => void): number {
  let moved = 0
  // eslint-disable-next-line @typescript-eslint/unbound-method -- both are called with `this`
  const [{ set }, { shift }] = [Uint8Array.prototype, Array.prototype]
  Uint8Array.prototype.set = function (source, at) {
    moved += source.length
    set.call(this, source, at)
  }
  Array.prototype.shift = function () {
    moved += this.length
    return shift.call(this) as unknown
  }
  try {
    work()
  } finally {
    Uint8Array.prototype.set = set
    Array.prototype.shift = shift
  }
  return moved
}
