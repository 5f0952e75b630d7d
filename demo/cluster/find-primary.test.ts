import { expect, test } from 'vitest'
import { FindPrimary } from './find-primary.ts'

const exchanges = new Map([
  ['a', 'http://a'],
  ['b', 'http://b'],
])

test('follows a redirection to the primary', () => {
  const route = new FindPrimary(exchanges)
  expect(route.url).toBe('http://a')
  route.redirected('b')
  expect(route.url).toBe('http://b')
})

test('tries the next exchange if one does not answer or knows no primary', () => {
  const route = new FindPrimary(exchanges)
  route.failed()
  expect(route.url).toBe('http://b')
  route.redirected(undefined)
  expect(route.url).toBe('http://a')
  route.redirected('stranger')
  expect(route.url).toBe('http://b')
})

test('finds exchanges that were added later', () => {
  const growing = new Map(exchanges)
  const route = new FindPrimary(growing)
  growing.set('c', 'http://c')
  route.redirected('c')
  expect(route.url).toBe('http://c')
  route.failed()
  expect(route.url).toBe('http://a')
})
