import { describe, expect, it } from 'vitest'
import { toTXID } from '../../ltx/format/types.ts'
import { planUpload, type TransactionInfo, type UploadStep } from './upload-plan.ts'

/** `+`: a commit; `-`: a drop; a digit: a commit with another page size. */
function transactions(text: string, from = 1): TransactionInfo[] {
  return [...text].map((c, i) => ({
    txid: toTXID(from + i),
    pageSize: c === '+' || c === '-' ? 4096 : 512 << Number(c),
    commit: c === '-' ? 0 : 10,
  }))
}

function show(steps: readonly UploadStep[]): string {
  return steps
    .map((step) => (step.kind === 'file' ? `${step.from}-${step.to}` : `${step.kind} ${step.txid}`))
    .join(', ')
}

const plan = (text: string, options: { from?: number; before?: TransactionInfo } = {}) =>
  show(planUpload(transactions(text, options.from), options.before))

describe('a run of transactions', () => {
  it('becomes one file', () => {
    expect(plan('')).toBe('')
    expect(plan('+')).toBe('1-1')
    expect(plan('+++++')).toBe('1-5')
  })

  it('records a drop by a marker, and begins anew after it', () => {
    expect(plan('+++-')).toBe('1-3, dropped 4')
    expect(plan('++-+++')).toBe('1-2, dropped 3, reset 4, 5-6')
    expect(plan('-', { from: 9 })).toBe('dropped 9')
    expect(plan('+--++')).toBe('1-1, dropped 2, dropped 3, reset 4, 5-5')
  })

  it('begins anew where the page size changes', () => {
    expect(plan('++11+')).toBe('1-2, reset 3, 4-4, reset 5')
  })

  it('considers the transaction before it', () => {
    const [live] = transactions('+')
    const [dropped] = transactions('-')
    expect(plan('++', { from: 7, before: live! })).toBe('7-8')
    expect(plan('++', { from: 7, before: dropped! })).toBe('reset 7, 8-8')
    expect(plan('1+', { from: 7, before: live! })).toBe('reset 7, reset 8')
    expect(plan('1', { from: 7 })).toBe('7-7')
  })
})
