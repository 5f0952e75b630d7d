import { expect, test } from 'vitest'
import { holdsSecret, redactUrl } from './redact.ts'

test('a URL is shown without its secrets', () => {
  expect(redactUrl('file:///var/backups')).toBe('file:///var/backups')
  expect(redactUrl('s3://user:pass@bucket/x?region=eu&secretKey=abc')).toBe(
    's3://redacted:redacted@bucket/x?region=eu&secretKey=redacted',
  )
  expect(redactUrl('not a url')).toBe('not a url')
})

test.each([
  ['redis://queues#hunter2@host', 'redis://queues#redacted'],
  ['redis://app:12/hunter2@host', 'redis://app:12/redacted'],
  ['s3://AKIA:12/hunter2@bucket/p', 's3://AKIA:12/redacted'],
  ['redis://:p/hunter2@host:1', 'redis://redacted@host:1'],
  ['redis://host/0?pwd=hunter2&db=1', 'redis://host/0?pwd=redacted&db=1'],
  ['s3://b/p?endpoint=http://me:hunter2@h', 's3://b/p?endpoint=http%3A%2F%2Fredacted%40h'],
  ['s3://b/p?endpoint=me:hunter2@h:9000', 's3://b/p?endpoint=me%3Aredacted%40h%3A9000'],
  ['http://me:hunter2@h:port/x', 'http://redacted@h:port/x'],
])('no secret of %s is shown', (url, shown) => {
  expect(redactUrl(url)).toBe(shown)
  expect(holdsSecret(url)).toBe(true)
})

test.each(['file:///b', 'file:///b#x', 's3://b/a@b?endpoint=http://h:1&region=x&forcePathStyle=true', 'not a url'])(
  '%s holds no secret',
  (url) => expect(holdsSecret(url)).toBe(false),
)
