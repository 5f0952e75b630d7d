import { beforeEach, describe, expect, test } from 'vitest'
import { parsePosition } from '../ltx/format/types.ts'
import { NodeSpecialFiles, type SpecialFileSource } from './special-files.ts'

const position = parsePosition('000000000000002a/8000000000000001')

let hostname: string | undefined
let lagMs: number | undefined
let nowMs: number
let files: NodeSpecialFiles
beforeEach(() => {
  hostname = lagMs = undefined
  nowMs = 1000
  const source: SpecialFileSource = {
    primaryHostname: () => hostname,
    lagMs: () => lagMs,
    database: (name) => {
      const lastTimestampMs = { shop: 777, 'sub/a.db': 0 }[name]
      return lastTimestampMs === undefined ? undefined : { position, lastTimestampMs }
    },
  }
  files = new NodeSpecialFiles(source, () => nowMs)
})

function text(path: string): string | undefined {
  const content = files.content(path)
  return content && Buffer.from(content.bytes).toString()
}

test('.primary is the hostname of the primary, and is absent while none is followed', () => {
  expect(text('.primary')).toBeUndefined()
  hostname = 'node-a'
  expect(text('.primary')).toBe('node-a\n')
})

test('the mtime of .primary is the time of the last change of primary', () => {
  hostname = 'node-a'
  expect(files.content('.primary')?.modifiedMs).toBe(1000)
  nowMs = 2000
  expect(files.content('.primary')?.modifiedMs).toBe(1000)
  hostname = 'node-b'
  expect(files.content('.primary')?.modifiedMs).toBe(2000)
})

test.each([
  [0, '+000000000\n'],
  [12.4, '+000000012\n'],
  [-350, '-000000350\n'],
  [1_234_567_890, '+1234567890\n'],
  [undefined, '+2147483647\n'],
])('.lag of %s ms reads %j', (value, expected) => {
  lagMs = value
  expect(text('.lag')).toBe(expected)
})

test('NAME-pos is the position of a database, of the time of its last transaction, or of the start where that is not known', () => {
  expect(text('shop-pos')).toBe('000000000000002a/8000000000000001\n')
  expect(text('sub/a.db-pos')).toBe('000000000000002a/8000000000000001\n')
  expect(files.content('shop-pos')?.modifiedMs).toBe(777)
  nowMs = 2000
  expect(files.content('sub/a.db-pos')?.modifiedMs).toBe(1000)
  for (const other of ['a.db-pos', '-pos', 'shop', 'shop-pos-pos', 'sub/shop-pos']) expect(text(other)).toBeUndefined()
})

describe('names', () => {
  test('that could be special are few', () => {
    for (const name of ['.primary', '.lag', 'shop-pos', 'sub/x-pos']) expect(files.names(name), name).toBe(true)
    for (const name of ['shop', 'shop-wal', 'sub/.primary', 'sub/.lag', '.primary2']) {
      expect(files.names(name), name).toBe(false)
    }
  })

  test('in the root are taken at any time, NAME-pos only beside a database', () => {
    expect(['.primary', '.lag', 'shop-pos'].map((name) => files.reserved(name))).toEqual([true, true, true])
    expect(files.reserved('other-pos')).toBe(false)
  })
})
