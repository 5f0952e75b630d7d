import { expect, test } from 'vitest'
import { expand, ExpansionError } from './expand.ts'

const environment = { HOME: '/root', EMPTY: '', REGION: 'ams', PRIMARY_REGION: 'ams', ODD: '$HOME' }

test.each([
  ['plain', 'plain'],
  ['$HOME/x', '/root/x'],
  ['${HOME}/x', '/root/x'],
  ['a${EMPTY}b', 'ab'],
  ['${NOPE:-there}', 'there'],
  ['${EMPTY:-there}', 'there'],
  ['${NOPE:-}', ''],
  ['$$HOME', '$HOME'],
  ['costs 5$', 'costs 5$'],
  ['${ODD}', '$HOME'],
  ['${REGION == "ams"}', 'true'],
  ["${REGION != 'ams'}", 'false'],
  ['${REGION == PRIMARY_REGION}', 'true'],
  ['${NOPE == "x"}', 'false'],
])('%s becomes %s', (text, expected) => {
  expect(expand(text, environment)).toBe(expected)
})

test('a variable that is not set is an error that names it', () => {
  expect(() => expand('${NOPE}', environment)).toThrow(/environment variable NOPE is not set/)
  expect(() => expand('$NOPE', environment)).toThrow(ExpansionError)
})

test('an invalid reference is rejected', () => {
  for (const text of ['${}', '${A B}', '${HOME', '${1}', '${HOME:=x}']) {
    expect(() => expand(text, environment), text).toThrow(ExpansionError)
  }
})
