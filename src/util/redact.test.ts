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

const CANARY = 'canary9b1e'
const encodings = [
  (text: string) => text,
  encodeURIComponent,
  (text: string) => encodeURIComponent(encodeURIComponent(text)),
  (text: string) => encodeURIComponent(encodeURIComponent(encodeURIComponent(text))),
  (text: string) => encodeURIComponent(text).replaceAll('%', '%25').replaceAll('%2525', '%25'),
]
const places = [
  `http://h:1/?token=${CANARY}`,
  `http://h:1/?x=1&secretKey=${CANARY}&y=2`,
  `http://me:${CANARY}@h:1`,
  `me:${CANARY}@h:1`,
  `http://h:1/p#${CANARY}`,
  `http://h:1/?endpoint=${encodeURIComponent(`http://h2/?password=${CANARY}`)}`,
  `h:1/p?X-Amz-Signature=${CANARY}`,
]

test.each(encodings.flatMap((encode) => places.map((place) => [encode(place)])))(
  'a secret within the URL %s is not shown, however it is encoded',
  (nested) => {
    for (const url of [`s3://b/p?region=x&endpoint=${nested}`, `s3://b/p?endpoint=http://h&endpoint=${nested}`]) {
      expect(redactUrl(url)).not.toContain(CANARY)
      // A fragment of the URL itself is a mistake.
      expect(holdsSecret(url)).toBe(!nested.includes('#'))
    }
  },
)

test.each([
  's3://b/p?endpoint=http%3A%2F%2Fh%3A1%2Fp%3Fx%3D1&region=x',
  's3://b/p?endpoint=http%253A%252F%252Fh%253A1',
])('%s holds no secret, and is shown as it is', (url) => {
  expect(redactUrl(url)).toBe(url)
  expect(holdsSecret(url)).toBe(false)
})
