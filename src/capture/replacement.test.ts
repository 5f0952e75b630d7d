import fs from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { nodeFiles } from '../util/files.ts'
import { Replacement } from './replacement.ts'

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
