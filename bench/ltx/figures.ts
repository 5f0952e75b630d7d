import { median } from '../harness/percentiles.ts'
import type { ContestantName } from './contestants.ts'
import type { Cost } from './cost.ts'
import type { LTXRow } from './rows.ts'

/** One contestant's medians on one line. */
export interface LTXFigure {
  readonly perSecond: number
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
  /** How many times as fast as the fastest of the others; undefined where there is none. */
  readonly times: number | undefined
  /** Undefined: there was nothing to compare with. */
  readonly reached: boolean | undefined
}

export function summarizeCosts(costs: readonly Cost[], rate: (cost: Cost) => number): LTXFigure {
  const shares = costs.flatMap(({ share }) => (share === undefined || share === 0 ? [] : [share]))
  return {
    perSecond: median(costs.map(rate)),
    cpuSeconds: median(costs.map(({ cpuSeconds }) => cpuSeconds)),
    peakBytes: Math.max(...costs.map(({ peakBytes }) => peakBytes)),
    ...(shares.length > 0 && { share: median(shares) }),
  }
}

/** Whether a line meets its row's goal. */
export function judge(row: LTXRow, { figures }: LTXLine): LTXVerdict {
  const { ltxd, reference, library } = figures
  const others = [reference, library].flatMap((figure) => (figure === undefined ? [] : [figure.perSecond]))
  if (ltxd === undefined || others.length === 0) return { times: undefined, reached: undefined }
  const times = ltxd.perSecond / Math.max(...others)
  return { times, reached: times >= row.times && ltxd.peakBytes <= (row.maxPeakBytes ?? Infinity) }
}
