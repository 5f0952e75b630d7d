import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { openDataDirectory } from './directory.ts'

test('I6: a node does not lead in a term below one that it has seen, not even after a restart', () => {
  using temporary = temporaryDirectory()
  const first = openDataDirectory(temporary.dir)
  first.led(3n)
  first.sawTerm(7n)
  expect(() => first.led(6n)).toThrow(/I6/)
  first.close()
  const second = openDataDirectory(temporary.dir)
  expect(() => second.led(6n)).toThrow(/I6/)
  expect(second.term()).toBe(7n)
  expect(second.ledTerm()).toBe(3n)
  second.led(8n)
  expect(second.term()).toBe(8n)
  second.close()
})
