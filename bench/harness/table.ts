/** A column's heading and alignment. */
export interface Column {
  readonly heading: string
  readonly align: 'left' | 'right'
}

/**
 * A table for a terminal, with two spaces between columns and a rule below the headings. Every row has a cell for each
 * column.
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, i) => Math.max(column.heading.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    columns
      .map((column, i) => {
        const cell = cells[i] ?? ''
        const width = widths[i] as number
        return column.align === 'left' ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd()
  return [
    line(columns.map((column) => column.heading)),
    line(widths.map((width) => '─'.repeat(width))),
    ...rows.map(line),
  ].join('\n')
}

/** Rates: whole numbers with thousands separators. */
export function formatRate(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Shares and ratios: at least two significant digits. */
export function formatRatio(ratio: number): string {
  if (ratio >= 0.995) return ratio.toFixed(2)
  return ratio >= 0.1 ? ratio.toFixed(2) : ratio.toPrecision(2)
}

/** Microseconds, with one decimal below ten. */
export function formatUs(us: number): string {
  return us < 10 ? us.toFixed(1) : formatRate(us)
}
