import { expect, test } from 'vitest'
import { describeSystemError, UnreadableFileError } from './errors.ts'

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as the system says it, open 'a.ltx'`), { code, syscall: 'open' })
}

test.each([
  ['ENOENT', 'there is no such file: expected an LTX file'],
  ['EISDIR', 'is a directory: expected an LTX file'],
  ['EACCES', 'may not be read: expected an LTX file that this user has permission for'],
  ['EIO', "cannot be read: EIO: as the system says it, open 'a.ltx'"],
])('what keeps a file from being read is said in words: %s', (code, words) => {
  expect(describeSystemError(systemError(code), 'an LTX file')).toBe(words)
  expect(new UnreadableFileError('a.ltx', 'an LTX file', systemError(code)).message).toBe(`a.ltx: ${words}`)
})
