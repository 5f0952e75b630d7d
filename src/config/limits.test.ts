import { describe, expect, test } from 'vitest'
import { UNSETTLED_MS, UPLOAD_TIMEOUT_MS } from '../backup/history/upload-window.ts'
import { LIMITS, LIMITS_VARIABLE, limitsFrom } from './limits.ts'

const from = (text: string) => limitsFrom({ [LIMITS_VARIABLE]: text })

describe('the limits that no configuration sets', () => {
  test('are what they are where nobody says otherwise', () => {
    expect(limitsFrom({})).toEqual({ answerMs: 15_000, uploadMs: 15_000 })
  })

  test('can be shortened, one at a time', () => {
    expect(from('{"uploadMs":2000}')).toEqual({ ...limitsFrom({}), uploadMs: 2_000 })
  })

  test.each([
    ['{', /is not JSON/],
    ['[]', /is not an object/],
    ['{"uploads":1}', /names "uploads"/],
    ['{"uploadMs":15001}', /uploadMs: not from 1 to 15000/],
    ['{"uploadMs":0}', /uploadMs/],
    ['{"uploadMs":"1s"}', /uploadMs/],
  ])('%s is an error that says who may set them', (text, said) => {
    expect(() => from(text)).toThrow(said)
    expect(() => from(text)).toThrow(/only tests of ltxd set it/)
  })

  test('what follows from a limit follows it: a file is settled after two uploads could have arrived', () => {
    expect(UPLOAD_TIMEOUT_MS).toBe(LIMITS.uploadMs)
    expect(UNSETTLED_MS).toBe(2 * UPLOAD_TIMEOUT_MS)
  })
})
