/**
 * How commands print: results to stdout, everything else to stderr. What they print names files, objects, peers and
 * processes, which others named, and goes to a terminal: here alone it is written, without their control characters.
 */

import { escaped } from '../../util/log-text.ts'

/** Prints one JSON document. A bigint becomes a decimal string. */
export function printJson(value: unknown): void {
  const replacer = (_: string, item: unknown) => (typeof item === 'bigint' ? item.toString() : item)
  process.stdout.write(`${jsonText(value, replacer, 2)}\n`)
}

/** As JSON.stringify, which leaves some characters that a terminal obeys. */
export function jsonText(value: unknown, replacer?: (key: string, value: unknown) => unknown, indent?: number): string {
  // Outside of strings JSON has no such character but the line ends of the indentation.
  return JSON.stringify(value, replacer, indent).replace(OBEYED, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

const OBEYED = /[\x7f-\x9f\p{Bidi_Control}]/gu

/** Prints one line. */
export function printLine(line: string): void {
  process.stdout.write(`${printable(line)}\n`)
}

/** Prints text of several lines: foreign parts of it are printable already, so that they begin no line. */
export function printText(text: string): void {
  process.stdout.write(printableLines(text))
}

/** Prints one line to stderr. */
export function printNote(message: string): void {
  process.stderr.write(`ltxd: ${printable(message)}\n`)
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

/** Escapes control characters, line ends too. */
export const printable = escaped

/** The same of each line. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}
