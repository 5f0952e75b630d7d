import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { errorCode } from './errors.ts'

test('a system error has the name of its errno, also where Node.js knows no text for it', () => {
  const systemError = (code: string, errno: number) =>
    Object.assign(new Error(code), { code, errno, syscall: 'unlink' })
  expect(errorCode(systemError('Unknown system error -116', -constants.errno.ESTALE))).toBe('ESTALE')
  expect(errorCode(systemError('ENOENT', -constants.errno.ENOENT))).toBe('ENOENT')
  expect(errorCode(systemError('EOF', -4095))).toBe('EOF')
  expect(errorCode(Object.assign(new Error('busy'), { code: 'BUSY' }))).toBe('BUSY')
  expect(errorCode(new Error('nothing'))).toBeUndefined()
})
