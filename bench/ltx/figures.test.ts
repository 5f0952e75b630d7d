import { expect, test } from 'vitest'
import { judge, type LTXFigure, summarizeCosts } from './figures.ts'
import { LTX_ROWS } from './rows.ts'

const compaction = LTX_ROWS.find(({ name }) => name === 'ltx-compact')!
const figure = (perSecond: number, peakMB = 50): LTXFigure => ({
  perSecond,
  perProcessorSecond: perSecond / 2,
  cpuSeconds: 1,
  peakBytes: peakMB * 1e6,
})
const verdict = (figures: Parameters<typeof judge>[1]['figures']) =>
  judge(compaction, { name: compaction.name, figures })

test('a line is compared with the library, or else the reference, and its memory with the limit', () => {
  expect(verdict({ ltxd: figure(300), reference: figure(100) })).toEqual({
    times: 3,
    timesByProcessor: 3,
    reached: true,
  })
  expect(verdict({ ltxd: figure(299), reference: figure(100) }).reached).toBe(false)
  expect(verdict({ ltxd: figure(300), reference: figure(90), library: figure(101) }).reached).toBe(false)
  expect(verdict({ ltxd: figure(300), reference: figure(101), library: figure(100) }).reached).toBe(true)
  expect(verdict({ ltxd: figure(300, 101), reference: figure(100) }).reached).toBe(false)
})

test('without a figure to compare with there is no verdict', () => {
  expect(verdict({ ltxd: figure(300) })).toEqual({ times: undefined, timesByProcessor: undefined, reached: undefined })
})

test('times are medians, and memory is the maximum of all rounds', () => {
  const costs = [1, 9, 2].map((seconds) => ({ operations: 18, seconds, cpuSeconds: seconds, peakBytes: seconds * 10 }))
  const { perSecond, cpuSeconds, peakBytes } = summarizeCosts(costs, (cost) => cost.operations / cost.seconds)
  expect({ perSecond, cpuSeconds, peakBytes }).toEqual({ perSecond: 9, cpuSeconds: 2, peakBytes: 90 })
})
