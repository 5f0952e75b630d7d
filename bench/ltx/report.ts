import type { Machine } from '../harness/machine.ts'
import { type Column, formatRate, formatRatio, renderTable } from '../harness/table.ts'
import type { ContestantName } from './contestants.ts'
import { judge, type LTXFigure, type LTXLine } from './figures.ts'
import { LTX_ROWS, type LTXRow } from './rows.ts'

/** A run of the LTX rows, as it is printed and as `--json` saves it. */
export interface LTXReport {
  readonly takenAt: string
  readonly machine: Machine
  readonly rounds: number
  readonly cores: number
  readonly lines: readonly LTXLine[]
  /** The contestants that were not measured, with the reasons. */
  readonly missing: readonly string[]
}

const CONTESTANTS: readonly ContestantName[] = ['ltxd', 'reference', 'library']

const COLUMNS: readonly Column[] = [
  { heading: 'what', align: 'left' },
  ...CONTESTANTS.map((heading) => ({ heading, align: 'right' as const })),
  { heading: '×', align: 'right' },
  { heading: '× by processor', align: 'right' },
  { heading: 'processor s', align: 'right' },
  { heading: 'peak MB', align: 'right' },
  { heading: 'compressed to', align: 'right' },
  { heading: 'target', align: 'left' },
  { heading: 'reached', align: 'left' },
]

export function renderLTXReport(report: LTXReport): string {
  const { machine } = report
  const cores = report.cores === 1 ? 'one core' : `${report.cores} cores`
  return [
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, ${machine.fileSystem}, Node ${machine.node}`,
    `Medians of ${report.rounds} rounds in turn, each task in a new process on ${cores}; for memory the maximum.`,
    '',
    renderTable(
      COLUMNS,
      report.lines.flatMap((line) => {
        const row = LTX_ROWS.find(({ name }) => name === line.name)
        return row === undefined ? [] : [cells(row, line)]
      }),
    ),
    '',
    ...report.missing,
    'reference: superfly/ltx 0.5.3, compiled by Go, with buffered files. library: lz4-napi, which has no CRC-64.',
    '×: relative to the library or, without one, the reference; then the same by processor time.',
    'processor s, peak MB, compressed to: ltxd/reference/library.',
  ].join('\n')
}

function cells(row: LTXRow, line: LTXLine): string[] {
  const { times, timesByProcessor, reached } = judge(row, line)
  const memory = row.maxPeakBytes === undefined ? '' : `, ≤ ${row.maxPeakBytes / 1e6} MB`
  const each = (text: (figure: LTXFigure) => string | undefined) => {
    const figures = CONTESTANTS.map((name) => line.figures[name])
    const texts = figures.map((figure) => (figure === undefined ? '–' : (text(figure) ?? '–')))
    return texts.every((one) => one === '–') ? '–' : texts.join('/')
  }
  return [
    row.what,
    ...CONTESTANTS.map((name) => rate(line.figures[name])),
    times === undefined ? '–' : formatRatio(times),
    timesByProcessor === undefined ? '–' : formatRatio(timesByProcessor),
    each(({ cpuSeconds }) => cpuSeconds.toFixed(2)),
    each(({ peakBytes }) => (peakBytes / 1e6).toFixed(0)),
    each(({ share }) => (share === undefined ? undefined : `${(100 * share).toFixed(1)} %`)),
    `≥ ${row.times} ×${memory}`,
    reached === undefined ? '–' : reached ? 'yes' : 'no',
  ]
}

function rate(figure: LTXFigure | undefined): string {
  return figure === undefined ? '–' : formatRate(figure.perSecond)
}
