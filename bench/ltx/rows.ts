import type { Cost, TaskName } from './cost.ts'
import { type Fixture, STRIDE } from './fixture.ts'

const MB = 1e6

/** A line of the table: a task, the unit of its figures, and its goal. */
export interface LTXRow {
  readonly name: string
  readonly what: string
  readonly task: TaskName
  /** `out` is a path for an output file. */
  readonly args: (fixture: Fixture, out: string) => readonly string[]
  /** The unit of the rate. */
  readonly unit: 'pages' | 'MB'
  /** The size of an operation in that unit. */
  readonly perOperation: (fixture: Fixture) => number
  /** The goal: the speed relative to the library or, without one, the reference. */
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

/** The rate of a task in the row's unit. */
export function ratePerSecond(row: LTXRow, fixture: Fixture, { operations, seconds }: Cost): number {
  return (operations * row.perOperation(fixture)) / seconds
}
