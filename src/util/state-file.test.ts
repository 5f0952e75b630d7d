import { expect, test } from 'vitest'
import { z } from 'zod'
import { UnknownFormatError } from './format-number.ts'
import { formatState, parseState, StateDamagedError } from './state-file.ts'

const FORMAT = { format: 1, schema: z.strictObject({ name: z.string(), count: z.number().optional() }) }
const parse = (text: string) => parseState('/d/state.json', text, FORMAT)

test.each([undefined, 2])('any flipped bit is found, and the file is named, with indent %s', (indent) => {
  const state = { name: 'an example', count: 12 }
  const text = formatState(1, state, indent)
  expect(parse(text)).toEqual(state)
  for (let bit = 0; bit < text.length * 8; bit++) {
    const bytes = Buffer.from(text)
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    let found: unknown
    try {
      found = parse(bytes.toString('utf8'))
    } catch (error) {
      expect(error, `bit ${bit}`).toBeInstanceOf(StateDamagedError)
      expect((error as Error).message).toMatch(/^\/d\/state\.json is damaged: [^\n]*$/)
      continue
    }
    // White space between keys and values.
    expect(found, `bit ${bit}`).toEqual(state)
  }
})

test('a file of version 0.1, without format and checksum, is read if it has exactly its keys', () => {
  expect(parse('{"name":"a"}')).toEqual({ name: 'a' })
  expect(() => parse('{"name":"a","chec":"1"}')).toThrow(StateDamagedError)
})

test('a later format is an error of its own, whether it has a checksum or not', () => {
  for (const text of ['{"format":2,"name":"a"}', formatState(2, { name: 'a', more: 1 })]) {
    expect(() => parse(text)).toThrow(UnknownFormatError)
  }
})

test('I10: a file that no version wrote is not parsed', () => {
  expect(() => parse(`{"name":"${'a'.repeat(100_000)}"}`)).toThrow(
    '/d/state.json is damaged: it has more than 65536 bytes',
  )
})
