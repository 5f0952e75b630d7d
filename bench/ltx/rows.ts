import type { Cost, TaskName } from './cost.ts'
import { type Fixture, STRIDE } from './fixture.ts'

const MB = 1e6

/** One line of the table: a task, what its figures are called, and its goal. */
export interface LTXRow {
  readonly name: string
  readonly what: string
  readonly task: TaskName
  /** `out`: where it may write a file. */
  readonly args: (fixture: Fixture, out: string) => readonly string[]
  /** What a second brings. */
  readonly unit: 'pages' | 'MB'
  /** In that unit, how much one operation is. */
  readonly perOperation: (fixture: Fixture) => number
  /** How many times as fast as the library; where no library does it, as the reference. */
  readonly times: number
  readonly maxPeakBytes?: number
}

const one = () => 1
const pageMB = () => 4096 / MB

export const LTX_ROWS: readonly LTXRow[] = [
  {
    name: 'ltx-compact',
    what: 'compact a snapshot and 300 transactions, pages in/s',
    task: 'compact',
    args: ({ snapshot, transactions }, out) => [out, snapshot, ...transactions],
    unit: 'pages',
    perOperation: ({ pageCount, transactions, pagesEach }) => pageCount + transactions.length * pagesEach,
    times: 3,
    maxPeakBytes: 100 * MB,
  },
  {
    name: 'ltx-compact-transactions',
    what: 'compact the 300 transactions, pages in/s',
    task: 'compact',
    args: ({ transactions }, out) => [out, ...transactions],
    unit: 'pages',
    perOperation: ({ transactions, pagesEach }) => transactions.length * pagesEach,
    times: 2.5,
    maxPeakBytes: 100 * MB,
  },
  {
    name: 'ltx-verify',
    what: 'decode and verify the snapshot, pages/s',
    task: 'verify',
    args: ({ snapshot }) => [snapshot],
    unit: 'pages',
    perOperation: one,
    times: 1.5,
  },
  {
    name: 'ltx-encode',
    what: 'encode the snapshot, pages/s',
    task: 'encode',
    args: ({ database }, out) => [database, out],
    unit: 'pages',
    perOperation: one,
    times: 2,
  },
  {
    name: 'ltx-crc64',
    what: 'CRC-64/ISO of a page, MB/s',
    task: 'crc',
    args: ({ database }) => [database, String(STRIDE)],
    unit: 'MB',
    perOperation: pageMB,
    times: 2,
  },
  {
    name: 'ltx-compress',
    what: 'LZ4: compress a page, pages/s',
    task: 'compress',
    args: ({ database }) => [database, String(STRIDE)],
    unit: 'pages',
    perOperation: one,
    times: 2,
  },
  {
    name: 'ltx-decompress',
    what: 'LZ4: decompress a page, pages/s',
    task: 'decompress',
    args: ({ blocks }) => [blocks],
    unit: 'pages',
    perOperation: one,
    times: 2,
  },
]

/** How much of the row's unit a second of a task brought. */
export function ratePerSecond(row: LTXRow, fixture: Fixture, { operations, seconds }: Cost): number {
  return (operations * row.perOperation(fixture)) / seconds
}
