import fc from 'fast-check'
import { expect, test } from 'vitest'
import { joinWords, splitWords } from './words.ts'

test('words are split as a shell splits them', () => {
  expect(splitWords(`  node  server.js --name='two words' "it's" a\\ b ""`)).toEqual([
    'node',
    'server.js',
    '--name=two words',
    "it's",
    'a b',
    '', // prettier-ignore
  ])
  expect(splitWords('"a\\"b\\n"')).toEqual(['a"b\\n'])
  expect(splitWords('')).toEqual([])
})

test('a command whose quote or escape does not end is rejected', () => {
  for (const text of [`'a`, `"a`, 'a\\', `"a\\"`]) expect(splitWords(text), text).toBeUndefined()
})

test('joined words are split back into the same words', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (words) => {
      expect(splitWords(joinWords(words))).toEqual(words)
    }),
  )
})
