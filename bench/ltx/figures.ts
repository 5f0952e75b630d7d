import { median } from '../harness/percentiles.ts'
import type { ContestantName } from './contestants.ts'
import type { Cost } from './cost.ts'
import type { LTXRow } from './rows.ts'

/** The medians of a contestant on one line. */
export interface LTXFigure {
  readonly perSecond: number
  /** The rate per second of user and system time of all threads. */
  readonly perProcessorSecond: number
  readonly cpuSeconds: number
  readonly peakBytes: number
  readonly share?: number
}

/** A line of the table. A contestant that is missing or lacks the function has no figure. */
export interface LTXLine {
  readonly name: string
  readonly figures: Partial<Readonly<Record<ContestantName, LTXFigure>>>
}

export interface LTXVerdict {
  /** The speed relative to the library, or else the reference; undefined without both. */
  readonly times: number | undefined
  /** The same by processor time, which is more reliable on a busy machine. */
  readonly timesByProcessor: number | undefined
  /** Undefined without a figure to compare with. */
  readonly reached: boolean | undefined
}

export function summarizeCosts(costs: readonly Cost[], rate: (cost: Cost) => number): LTXFigure {
  const shares = costs.flatMap(({ share }) => (share === undefined || share === 0 ? [] : [share]))
  return {
    perSecond: median(costs.map(rate)),
    perProcessorSecond: median(costs.map((cost) => rate({ ...cost, seconds: cost.cpuSeconds }))),
    cpuSeconds: median(costs.map(({ cpuSeconds }) => cpuSeconds)),
    peakBytes: Math.max(...costs.map(({ peakBytes }) => peakBytes)),
    ...(shares.length > 0 && { share: median(shares) }),
  }
}

/** Whether a line meets its row's goal. */
export function judge(row: LTXRow, { figures }: LTXLine): LTXVerdict {
  const { ltxd, reference, library } = figures
  const other = library ?? reference
  if (ltxd === undefined || other === undefined) {
    return { times: undefined, timesByProcessor: undefined, reached: undefined }
  }
  const times = ltxd.perSecond / other.perSecond
  const timesByProcessor = ltxd.perProcessorSecond / other.perProcessorSecond
  return { times, timesByProcessor, reached: times >= row.times && ltxd.peakBytes <= (row.maxPeakBytes ?? Infinity) }
}
