import { type Column, formatRate, renderTable } from '../harness/table.ts'
import { dollars, HOURS_A_MONTH, overhead, PRICES_TEXT, type Requests } from './requests.ts'

/** The name on the command line. */
export const COST = 'cost'

/** What applications do. */
export interface Load {
  readonly id: string
  readonly what: string
  readonly databases: number
  /** Transactions, to each database. */
  readonly perSecond: number
  /** Dollars a month at `sync-interval: 1s`. */
  readonly target: number
}

export const LOADS: readonly Load[] = [
  { id: 'idle', what: 'idle', databases: 1, perSecond: 0, target: 0 },
  { id: 'one', what: '1 tx/s', databases: 1, perSecond: 1, target: 14 },
  { id: 'hundred', what: '100 tx/s', databases: 1, perSecond: 100, target: 15 },
  { id: 'many', what: '100 databases at 0.1 tx/s', databases: 100, perSecond: 0.1, target: 140 },
]

/** A month of one load, extrapolated. */
export interface Line {
  readonly load: Load
  readonly syncInterval: string
  readonly contestant: string
  readonly month: Requests
  readonly upBytes: number
  readonly downBytes: number
}

const COLUMNS: readonly Column[] = [
  { heading: 'load', align: 'left' },
  { heading: 'interval', align: 'left' },
  { heading: 'with', align: 'left' },
  ...['PUT, level 0', 'PUT', 'LIST', 'HEAD', 'GET', 'DELETE', 'others', 'MB up', 'MB down'].map((heading) => ({
    heading,
    align: 'right' as const,
  })),
  { heading: '$ a month', align: 'right' },
  { heading: 'target', align: 'left' },
]

export function renderCost(lines: readonly Line[], minutes: number): string {
  return [
    `Requests and bytes an hour, from ${minutes} minutes; dollars for ${HOURS_A_MONTH} hours of requests alone.`,
    `${PRICES_TEXT}.`,
    '',
    renderTable(COLUMNS, lines.map(cells)),
    '',
    'PUT, level 0: what ships transactions. others: all other requests that are charged, relative to those.',
  ].join('\n')
}

function cells({ load, syncInterval, contestant, month, upBytes, downBytes }: Line): string[] {
  const hourly = (value: number) => formatRate(value / HOURS_A_MONTH)
  const { ship, put, list, head, get, delete: deleted } = month
  const share = overhead(month)
  const price = dollars(month)
  const hasTarget = contestant === 'ltxd' && syncInterval === '1s'
  return [
    load.what,
    syncInterval,
    contestant,
    ...[ship, put, list, head, get, deleted].map(hourly),
    share === undefined ? '–' : `${(100 * share).toFixed(1)} %`,
    ...[upBytes / 1e6, downBytes / 1e6].map((value) => (value / HOURS_A_MONTH).toFixed(1)),
    price.toFixed(2),
    hasTarget ? `≤ ${load.target}: ${price <= load.target + 0.005 ? 'yes' : 'no'}` : '',
  ]
}
