import { isFigure, type Line, shareOfNative } from './figures.ts'
import type { Report } from './report.ts'
import { type Column, formatRatio, renderTable } from './table.ts'

/** The change of a line since a saved run: 1 is equal, 2 is twice as fast. Undefined if a run has no figure. */
export interface Change {
  readonly id: string
  readonly what: string
  readonly native: number | undefined
  readonly ltxd: number | undefined
  /** The change of the share of native, which does not depend on the machine. */
  readonly share: number | undefined
}

/** The changes of all lines that both runs have. */
export function changes(before: readonly Line[], after: readonly Line[]): Change[] {
  const earlier = new Map(before.map((line) => [line.id, line]))
  return after.flatMap((line) => {
    const old = earlier.get(line.id)
    if (old === undefined) return []
    return [
      {
        id: line.id,
        what: line.what,
        native: quotient(speed(line, 'native'), speed(old, 'native')),
        ltxd: quotient(speed(line, 'ltxd'), speed(old, 'ltxd')),
        share: quotient(shareOfNative(line), shareOfNative(old)),
      },
    ]
  })
}

const COLUMNS: readonly Column[] = [
  { heading: 'now / then', align: 'left' },
  { heading: 'native', align: 'right' },
  { heading: 'ltxd', align: 'right' },
  { heading: 'ltxd share of native', align: 'right' },
]

export function renderComparison(before: Report, after: Report): string {
  const rows = changes(before.lines, after.lines).map((change) => [
    change.what,
    cell(change.native),
    cell(change.ltxd),
    cell(change.share),
  ])
  return [`Against the run of ${before.takenAt} (${before.machine.cpu}):`, '', renderTable(COLUMNS, rows)].join('\n')
}

function cell(ratio: number | undefined): string {
  return ratio === undefined ? '–' : `${formatRatio(ratio)} ×`
}

function speed(line: Line, side: 'native' | 'ltxd'): number | undefined {
  const outcome = line[side]
  return outcome !== undefined && isFigure(outcome) ? outcome.value : undefined
}

function quotient(now: number | undefined, then: number | undefined): number | undefined {
  return now === undefined || then === undefined || then === 0 ? undefined : now / then
}
