import { expect, test } from 'vitest'
import { rememberSecret, withoutSecrets } from './sent-secrets.ts'

const LONG = 'IQoJcanary/of+a=session' + 'x'.repeat(400)

test('text of a server is shown without what it was sent: whole, percent-encoded, and cut short', () => {
  rememberSecret(LONG)
  rememberSecret('hunter2')
  expect(withoutSecrets(`a ${LONG} b hunter2 c ${LONG}`)).toBe('a [redacted] b [redacted] c [redacted]')
  expect(withoutSecrets(`?token=${encodeURIComponent(LONG)}&x`)).toBe('?token=[redacted]&x')
  expect(withoutSecrets(`args: '${LONG.slice(0, 128)}...'`)).toBe("args: '[redacted]...'")
})

test('a signature is not shown, whatever the request was', () => {
  const signature = '0123456789abcdef'.repeat(4)
  expect(withoutSecrets(`SignedHeaders=host, Signature=${signature}`)).toBe('SignedHeaders=host, Signature=[redacted]')
  expect(withoutSecrets(`X-Amz-Signature: "${signature}"`)).toBe('X-Amz-Signature: "[redacted]"')
})

test('other text stays as it is, also where a short password could be anything', () => {
  rememberSecret('a')
  rememberSecret(undefined)
  expect(withoutSecrets('Access Denied')).toBe('Access Denied')
})

test('the memory of secrets is limited, and the newest is always in it', () => {
  for (let i = 0; i < 1000; i++) rememberSecret(`token-number-${i}`.padEnd(40, `${i}`))
  const newest = `token-number-999`.padEnd(40, '999')
  expect(withoutSecrets(newest)).toBe('[redacted]')
})
