/** What commands print: results on stdout, everything else on stderr. */

/** One JSON document; 64-bit values as decimal strings. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item), 2)
  process.stdout.write(`${text}\n`)
}

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** Rows under their titles, columns two spaces apart, no line longer than its text. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = [columns.map((column) => column.title), ...rows].map((row) => row.map(printable))
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)))
  const lines = cells.map((row) =>
    columns
      .map((column, i) => {
        const cell = row[i] ?? ''
        return column.align === 'right' ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)
      })
      .join('  ')
      .trimEnd(),
  )
  return lines.join('\n') + '\n'
}

export function printTable(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
  process.stdout.write(formatTable(columns, rows))
}

/** Names come from the file system, and from peers: control characters in them must not reach a terminal. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '�')
}
