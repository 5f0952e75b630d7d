import { expect, test } from 'vitest'
import { FindPrimary } from './find-primary.ts'

const exchanges = new Map([
  ['a', 'http://a'],
  ['b', 'http://b'],
])

test('goes where it is sent', () => {
  const route = new FindPrimary(exchanges)
  expect(route.url).toBe('http://a')
  route.redirected('b')
  expect(route.url).toBe('http://b')
})

test('tries one after the other where nobody answers, or nobody knows', () => {
  const route = new FindPrimary(exchanges)
  route.failed()
  expect(route.url).toBe('http://b')
  route.redirected(undefined)
  expect(route.url).toBe('http://a')
  route.redirected('stranger')
  expect(route.url).toBe('http://b')
})

test('finds those that came later', () => {
  const growing = new Map(exchanges)
  const route = new FindPrimary(growing)
  growing.set('c', 'http://c')
  route.redirected('c')
  expect(route.url).toBe('http://c')
  route.failed()
  expect(route.url).toBe('http://a')
})
