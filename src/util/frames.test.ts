import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameParser, marshalFrame } from './frames.ts'

test('whatever pieces the bytes come in, the frames are the same', () => {
  const frame = fc.record({ header: fc.jsonValue(), body: fc.uint8Array({ maxLength: 50 }) })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 5 }), fc.array(fc.nat(40)), (frames, sizes) => {
      const bytes = Buffer.concat(frames.map(({ header, body }) => marshalFrame(header, body)))
      const parser = new FrameParser()
      const found: { header: unknown; body: number[] }[] = []
      const take = (chunk: Uint8Array) => {
        for (const { header, body } of parser.push(chunk)) found.push({ header, body: [...body] })
      }
      let at = 0
      for (const size of sizes) {
        take(bytes.subarray(at, at + size))
        at += size
      }
      take(bytes.subarray(at))
      expect(found).toEqual(
        frames.map(({ header, body }) => ({ header: JSON.parse(JSON.stringify(header)) as unknown, body: [...body] })),
      )
    }),
  )
})

test('a length that no frame has is an error, before memory is taken for it', () => {
  expect(() => new FrameParser().push(new Uint8Array(8).fill(0xff))).toThrow('none of ours')
})
