import { PEER_MACHINE, type PeerFigure, PEERS } from '../peers.ts'
import { TARGETS } from '../targets.ts'
import { isFigure, type Line, type Outcome, shareOfNative } from './figures.ts'
import type { Machine } from './machine.ts'
import { type Column, formatRate, formatRatio, formatUs, renderTable } from './table.ts'

/** A run, as it is printed and as `--json` saves it. */
export interface Report {
  readonly takenAt: string
  readonly machine: Machine
  readonly rounds: number
  readonly seconds: number
  readonly withBackup: boolean
  readonly oneCore: boolean
  readonly plainFiles?: boolean
  readonly latency?: 'normal' | 'low'
  readonly lines: readonly Line[]
}

const COLUMNS: readonly Column[] = [
  { heading: 'what', align: 'left' },
  { heading: 'native', align: 'right' },
  { heading: 'ltxd', align: 'right' },
  { heading: '× native', align: 'right' },
  { heading: 'p50/p99 µs', align: 'right' },
  { heading: 'ltxd', align: 'right' },
  { heading: 'daemon µs', align: 'right' },
  { heading: 'peer', align: 'right' },
  { heading: '× native', align: 'right' },
  { heading: 'target', align: 'left' },
  { heading: 'reached', align: 'left' },
]

export function renderReport(report: Report): string {
  const { machine } = report
  return [
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, ${machine.fileSystem}, ` +
      `Node ${machine.node}, SQLite ${machine.sqlite}`,
    `Medians of ${report.rounds} rounds of ${report.seconds} s, native and ltxd in turn; ` +
      `${report.withBackup ? 'the node backs up to a directory' : 'no backup'}; ${report.oneCore ? 'clients and node on one core' : 'no process is pinned to a core'}.`,
    ...(report.latency === 'low' ? ['fuse.latency: low.'] : []),
    ...(report.plainFiles === true ? ['The node treats no file as a database, and captures nothing.'] : []),
    '',
    renderTable(COLUMNS, report.lines.map(cells)),
    '',
    ...remarks(report.lines),
    'daemon µs: processor time of ltxd per operation; in a cluster, of the replica and its local client.',
    `peer: ${PEER_MACHINE}. "× peer" compares shares of native, each on its own machine.`,
  ].join('\n')
}

function cells(line: Line): string[] {
  const share = shareOfNative(line)
  const peer = PEERS[line.id]
  const target = TARGETS[line.id]
  return [
    line.what,
    rate(line.native),
    rate(line.ltxd),
    share === undefined ? '–' : formatRatio(share),
    latency(line.native),
    latency(line.ltxd),
    isFigure(line.ltxd) && line.ltxd.daemonUs !== undefined ? formatUs(line.ltxd.daemonUs) : '–',
    peer === undefined ? '–' : `${peer.peer} ${peerFigure(peer)}`,
    peer?.nativeValue === undefined ? '–' : formatRatio(peer.value / peer.nativeValue),
    line.without === undefined ? (target?.text ?? '–') : `${target?.text ?? ''} of ${latency(line.without)}`,
    target === undefined ? '–' : target.reached(line) ? 'yes' : 'no',
  ]
}

function rate(outcome: Outcome | undefined): string {
  if (outcome === undefined) return '–'
  return isFigure(outcome) ? formatRate(outcome.value) : 'none'
}

function latency(outcome: Outcome | undefined): string {
  if (outcome === undefined || !isFigure(outcome) || outcome.p50Us === undefined || outcome.p99Us === undefined)
    return '–'
  return `${formatUs(outcome.p50Us)}/${formatUs(outcome.p99Us)}`
}

function peerFigure({ value, p50Us, p99Us }: PeerFigure): string {
  if (p50Us === undefined || p99Us === undefined) return formatRate(value)
  return `${formatRate(value)}, ${formatUs(p50Us)}/${formatUs(p99Us)} µs`
}

/** The reasons for missing figures, below the table. */
function remarks(lines: readonly Line[]): string[] {
  return lines.flatMap((line) =>
    (['native', 'ltxd'] as const).flatMap((side) => {
      const outcome = line[side]
      return outcome === undefined || isFigure(outcome) ? [] : [`${line.what}, ${side}: no figure: ${outcome.missing}`]
    }),
  )
}
