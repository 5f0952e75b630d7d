import { median } from '../harness/percentiles.ts'
import type { ContestantName } from './contestants.ts'
import type { Cost } from './cost.ts'
import type { LTXRow } from './rows.ts'

/** One contestant's medians on one line. */
export interface LTXFigure {
  readonly perSecond: number
  /** Per second of user and system time, of all threads. */
  readonly perProcessorSecond: number
  readonly cpuSeconds: number
  readonly peakBytes: number
  readonly share?: number
}

/** One line of the table. Who is missing, or has nothing of the kind, has no figure. */
export interface LTXLine {
  readonly name: string
  readonly figures: Partial<Readonly<Record<ContestantName, LTXFigure>>>
}

export interface LTXVerdict {
  /** How many times as fast as the library, or else the reference; undefined where there is neither. */
  readonly times: number | undefined
  /** The same in processor time, which says more on a machine that is busy with other things. */
  readonly timesByProcessor: number | undefined
  /** Undefined: there was nothing to compare with. */
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
