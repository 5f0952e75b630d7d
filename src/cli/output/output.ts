import { escaped } from '../../util/log-text.ts'
/** How commands print their results: to stdout. Everything else goes to stderr. */

/** Prints one JSON document. A bigint becomes a decimal string. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item), 2)
  process.stdout.write(`${text}\n`)
}

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** A table with a row of titles, columns two spaces apart, and no trailing spaces. */
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

/** Escapes control characters: names come from the file system and from peers, and the text goes to a terminal. */
export const printable = escaped
