import { expect, test } from 'vitest'
import { changes } from './compare.ts'
import type { Line } from './figures.ts'

const line = (id: string, native: number, ltxd: number): Line => ({
  id,
  what: id,
  native: { value: native },
  ltxd: { value: ltxd },
})

test('a machine of twice the speed changes the figures, but not the share of native', () => {
  expect(changes([line('read', 100, 50)], [line('read', 200, 100)])).toEqual([
    { id: 'read', what: 'read', native: 2, ltxd: 2, share: 1 },
  ])
})

test('a line of only one run is omitted, and one without a figure has no change', () => {
  const refused: Line = { ...line('write', 100, 1), ltxd: { missing: 'refused' } }
  expect(changes([line('read', 1, 1), refused], [line('write', 150, 30)])).toEqual([
    { id: 'write', what: 'write', native: 1.5, ltxd: undefined, share: undefined },
  ])
})
