import { describe, expect, it } from 'vitest'
import { StoreUrlError } from '../errors.ts'
import { openObjectStore } from './open.ts'

describe('a backup URL', () => {
  it('names a directory', () => {
    expect(openObjectStore('file:///var/backup')).toMatchObject({ url: 'file:///var/backup', layout: 'directory' })
    expect(openObjectStore('file:///var/with%20space/').url).toBe('file:///var/with%20space')
    expect(openObjectStore('file:///').url).toBe('file:///')
  })

  it('names a bucket, without loading the SDK', () => {
    const store = openObjectStore('s3://bucket/a/b?endpoint=http://127.0.0.1:7070&region=eu-west-1&forcePathStyle=true')
    const url = 's3://bucket/a/b?endpoint=http://127.0.0.1:7070&region=eu-west-1'
    expect(store).toMatchObject({ url, layout: 's3' })
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

  it('never shows its secrets', () => {
    for (const url of [
      '/me:hunter2@bucket/x',
      '/x?token=hunter2',
      's3://bucket/x?hunter2',
      's3://bucket/x?hunter2=',
      's3://bucket/x?%26token%3Dhunter2=1',
      's3://bucket/x?region=eu;token=hunter2',
      's3://bucket/x?forcePathStyle=true%3Btoken%3Dhunter2',
      's3://bucket/x?endpoint=http://h&endpoint=http://h/%3Ftoken=hunter2',
      's3://token%3Dhunter2/x',
      'file://token=hunter2/x',
      's3x://me:hunter2@bucket',
      's3://me:hunter2@bucket/x',
      's3://b12/x?endpoint=http://me:hunter2@h',
    ]) {
      expect(() => openObjectStore(url)).toThrow(StoreUrlError)
      expect(() => openObjectStore(url)).not.toThrow(/hunter2/)
    }
  })
})
