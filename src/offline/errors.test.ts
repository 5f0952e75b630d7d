import { expect, test } from 'vitest'
import { describeSystemError, UnreadableFileError } from './errors.ts'

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: message of the system, open 'a.ltx'`), { code, syscall: 'open' })
}

test.each([
  ['ENOENT', 'there is no such file: expected an LTX file'],
  ['EISDIR', 'is a directory: expected an LTX file'],
  ['EACCES', 'cannot be read: expected an LTX file that this user may read'],
  ['EIO', "cannot be read: EIO: message of the system, open 'a.ltx'"],
])('a system error becomes a sentence: %s', (code, sentence) => {
  expect(describeSystemError(systemError(code), 'an LTX file')).toBe(sentence)
  expect(new UnreadableFileError('a.ltx', 'an LTX file', systemError(code)).message).toBe(`a.ltx: ${sentence}`)
})
