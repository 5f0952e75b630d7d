import { describe, expect, it } from 'vitest'
import { StoreUrlError } from './errors.ts'
import { openObjectStore } from './open.ts'

describe('a backup URL', () => {
  it('names a directory', () => {
    expect(openObjectStore('file:///var/backup')).toMatchObject({ url: 'file:///var/backup', layout: 'directory' })
    expect(openObjectStore('file:///var/with%20space/').url).toBe('file:///var/with%20space')
    expect(openObjectStore('file:///').url).toBe('file:///')
  })

  it.each([
    ['/var/backup', /did you mean file:\/\/\/var\/backup\?/],
    ['backup', /expected file:\/\/\/DIR/],
    ['file://backup/dir', /three slashes/],
    ['file:///b?x=1', /no parameters/],
    ['file:///a%2Fb', /valid encoding/],
    ['gopher://x', /"gopher:" is not supported; expected file:\/\/\/DIR/],
  ])('%s is refused with what was expected', (url, message) => {
    expect(() => openObjectStore(url)).toThrow(StoreUrlError)
    expect(() => openObjectStore(url)).toThrow(message)
  })

  it('is never shown with its secrets', () => {
    expect(() => openObjectStore('s3x://me:hunter2@bucket')).not.toThrow(/hunter2/)
  })
})
