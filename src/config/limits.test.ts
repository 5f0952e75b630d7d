import { describe, expect, test } from 'vitest'
import { UNSETTLED_MS, UPLOAD_TIMEOUT_MS } from '../backup/history/upload-window.ts'
import { LIMITS, LIMITS_VARIABLE, limitsFrom } from './limits.ts'

const from = (text: string) => limitsFrom({ [LIMITS_VARIABLE]: text })

describe('the limits that no configuration sets', () => {
  test('have their defaults without the variable', () => {
    expect(limitsFrom({})).toEqual({ answerMs: 15_000, uploadMs: 15_000, clientMs: 300_000 })
  })

  test('can be shortened, one at a time', () => {
    expect(from('{"uploadMs":2000}')).toEqual({ ...limitsFrom({}), uploadMs: 2_000 })
  })

  test.each([
    ['{', /is not JSON/],
    ['[]', /is not an object/],
    ['{"uploads":1}', /names "uploads"/],
    ['{"uploadMs":15001}', /uploadMs: expected 1 to 15000/],
    ['{"uploadMs":0}', /uploadMs/],
    ['{"uploadMs":"1s"}', /uploadMs/],
  ])('%s is an error, which says that only tests set limits', (text, message) => {
    expect(() => from(text)).toThrow(message)
    expect(() => from(text)).toThrow(/Only tests of ltxd set it/)
  })

  test('a file is settled after twice the limit of an upload', () => {
    expect(UPLOAD_TIMEOUT_MS).toBe(LIMITS.uploadMs)
    expect(UNSETTLED_MS).toBe(2 * UPLOAD_TIMEOUT_MS)
  })
})
