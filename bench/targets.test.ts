import { expect, test } from 'vitest'
import type { Line } from './harness/figures.ts'
import { LTX_ROWS } from './ltx/rows.ts'
import { PEERS } from './peers.ts'
import { CLUSTER, CLUSTER_ROWS, LTX, ROWS } from './rows.ts'
import { TARGETS } from './targets.ts'

const line = (id: string, ltxd: Line['ltxd']): Line => ({ id, what: id, native: { value: 100_000 }, ltxd })

test('a target relative to native is met at its share, and not below', () => {
  const target = TARGETS['read-wal']
  expect(target?.reached(line('read-wal', { value: 90_000 }))).toBe(true)
  expect(target?.reached(line('read-wal', { value: 89_999 }))).toBe(false)
})

test('a target relative to the peer compares shares of native, and its latency limit', () => {
  const target = TARGETS['write-wal-normal']
  const enough = (8 * 100_000 * 650) / 120_000
  expect(target?.reached(line('write-wal-normal', { value: enough + 1, p99Us: 900 }))).toBe(true)
  expect(target?.reached(line('write-wal-normal', { value: enough - 1, p99Us: 900 }))).toBe(false)
  expect(target?.reached(line('write-wal-normal', { value: enough + 1, p99Us: 1_001 }))).toBe(false)
})

test('a missing figure meets no target', () => {
  for (const [id, target] of Object.entries(TARGETS))
    expect(target.reached(line(id, { missing: 'refused' }))).toBe(false)
})

test('each peer has its target, and no two rows share a name', () => {
  expect(Object.keys(TARGETS)).toEqual(expect.arrayContaining(Object.keys(PEERS)))
  const names = [...ROWS, ...CLUSTER_ROWS, ...LTX_ROWS].map((row) => row.name)
  expect(new Set([...names, CLUSTER, LTX]).size).toBe(names.length + 2)
})
