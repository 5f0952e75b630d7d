import { expect, test } from 'vitest'
import { isLoopbackHost } from './host-check.ts'

test('the loopback names of this machine are accepted', () => {
  for (const host of [
    'localhost',
    'LOCALHOST:80',
    'localhost.:80',
    '127.0.0.1:20202',
    '127.1.2.3',
    '[::1]:20202',
    '[::1]',
  ]) {
    expect(isLoopbackHost(host), host).toBe(true)
  }
})

test('any other name may be a web page by DNS rebinding, and is rejected', () => {
  const others = [
    '',
    'evil.example',
    'evil.example:20202',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '10.0.0.1',
  ]
  for (const host of [
    ...others,
    '[::2]',
    '127.0.0.1@evil.example',
    '2130706433',
    '[::1',
    'localhost:80:80',
    undefined,
  ]) {
    expect(isLoopbackHost(host), host ?? 'none').toBe(false)
  }
})
