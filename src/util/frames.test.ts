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
