import { expect, test } from 'vitest'
import { LTXError } from './errors.ts'

test('an LTXError has problem, place and file in its message and its fields', () => {
  const error = new LTXError('513 is not a power of two', { offset: 8, field: 'page size' })
  expect(error.message).toBe('page size: 513 is not a power of two (at byte 8)')
  expect(error).toMatchObject({ name: 'LTXError', code: 'LTX_INVALID', offset: 8, field: 'page size' })
  expect(error.file).toBeUndefined()

  const named = error.inFile('a.ltx')
  expect(named.message).toBe('a.ltx: page size: 513 is not a power of two (at byte 8)')
  expect(named).toMatchObject({ code: 'LTX_INVALID', offset: 8, field: 'page size', file: 'a.ltx', cause: error })
})
