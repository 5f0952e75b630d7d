import fs from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { nodeFiles } from '../util/files.ts'
import { Replacement } from './replacement.ts'
import { MAX_RANGES, WrittenRanges } from './written-ranges.ts'

test('a replacement is dense when every byte was written, in whatever order', () => {
  using temporary = temporaryDirectory()
  const { dir } = temporary
  fs.mkdirSync(`${dir}/files`)
  const range = fc.record({ start: fc.nat(60), length: fc.integer({ min: 1, max: 25 }), cuts: fc.boolean() })
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), (steps) => {
      const replacement = new Replacement(nodeFiles, `${dir}/files/a.db`, 'a.db')
      let model: boolean[] = []
      for (const { start, length, cuts } of steps) {
        if (cuts) {
          replacement.truncate(start)
          model = Array.from({ length: start }, (_, i) => model[i] ?? false)
        } else {
          replacement.write(new Uint8Array(length), start)
          model = Array.from({ length: Math.max(model.length, start + length) }, (_, i) => {
            return (model[i] ?? false) || (i >= start && i < start + length)
          })
        }
        expect(replacement.sizeBytes).toBe(model.length)
        expect(replacement.isDense).toBe(model.length > 0 && model.every(Boolean))
      }
      replacement.discard()
      expect(fs.readdirSync(`${dir}/replacing`)).toEqual([])
    }),
    { numRuns: 100 },
  )
})

test('bytes written at every second offset take bounded memory, and no write costs a search of all', () => {
  const ranges = new WrittenRanges()
  const rejected = () => {
    let count = 0
    for (let i = MAX_RANGES; i > 0; i--) if (!ranges.add(2 * i, 2 * i + 1)) count++
    for (let i = 0; i < 200_000; i++) if (!ranges.add(1_000_000 + 2 * i, 1_000_001 + 2 * i)) count++
    return count
  }
  const began = process.cpuUsage()
  expect(rejected()).toBe(200_000)
  expect(ranges.count).toBe(MAX_RANGES)
  expect(process.cpuUsage(began).user / 1e6).toBeLessThan(20)
  expect(ranges.add(0, 2 * MAX_RANGES + 1)).toBe(true)
  expect(ranges.isAll(2 * MAX_RANGES + 1)).toBe(true)
})
