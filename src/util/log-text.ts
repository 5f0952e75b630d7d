/**
 * A log record as one line for people: `2026-11-29T07:17:08.049+01:00 warn  database opened database=a.db pages=12`.
 */

import { styleText } from 'node:util'

/** `node` is the same on every line of a process: it helps only where the lines of several nodes meet, as JSON. */
const HIDDEN = new Set(['level', 'time', 'msg', 'v', 'pid', 'hostname', 'node', 'err'])

/** Converts one JSON line of pino's to text. A line that is not JSON is returned as it is. */
export function textLine(json: string, colour = process.stderr.isTTY): string {
  let record: Record<string, unknown>
  try {
    record = JSON.parse(json) as Record<string, unknown>
  } catch {
    return json
  }
  const level = String(record.level)
  const paint = (format: Parameters<typeof styleText>[0], text: string) => (colour ? styleText(format, text) : text)
  const parts = [
    paint('dim', localTime(String(record.time))),
    paint(COLOURS[level] ?? 'reset', level.padEnd(5)),
    escaped(typeof record.msg === 'string' ? record.msg : ''),
  ]
  for (const [key, value] of Object.entries(record)) {
    if (!HIDDEN.has(key)) parts.push(paint('dim', `${escaped(key)}=`) + field(value))
  }
  const error = record.err as { message?: unknown; stack?: unknown } | undefined
  const problem = error?.message ?? error
  if (problem !== undefined && problem !== record.msg) parts.push(paint('dim', 'err=') + field(problem))
  const stack = (level === 'fatal' || process.env.LTXD_DEBUG === '1') && typeof error?.stack === 'string'
  return (
    parts.filter((part) => part !== '').join(' ') +
    (stack ? `\n${String(error.stack).split('\n').map(stackLine).join('\n')}` : '') +
    '\n'
  )
}

/** Indented, so that no line of a foreign message looks like another log line. */
const stackLine = (line: string) => `    ${escaped(line.trim())}`

const COLOURS: Record<string, Parameters<typeof styleText>[0]> = {
  trace: 'dim',
  debug: 'dim',
  info: 'cyan',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
}

/** RFC 3339 in the machine's time zone, with milliseconds: `2026-11-29T07:17:08.049+01:00`. */
function localTime(iso: string): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return iso
  const two = (n: number) => String(n).padStart(2, '0')
  const offsetMinutes = -date.getTimezoneOffset()
  const distance = Math.abs(offsetMinutes)
  const zone = `${offsetMinutes < 0 ? '-' : '+'}${two(Math.floor(distance / 60))}:${two(distance % 60)}`
  const shifted = new Date(date.getTime() + offsetMinutes * 60_000)
  return shifted.toISOString().replace('Z', zone)
}

function field(value: unknown): string {
  if (typeof value !== 'string') return escaped(JSON.stringify(value) ?? 'undefined')
  return /^[\w@%+=:,./-]+$/.test(value) ? value : escaped(JSON.stringify(value))
}

/**
 * Text of a file's name or of a peer, as a terminal may get it: control characters, C1 included, those that change the
 * direction of writing, and bytes that are not UTF-8 are escaped.
 */
export function escaped(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\p{Bidi_Control}]/gu, (character) => {
    const code = character.charCodeAt(0)
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

const MAX_FOREIGN_LENGTH = 200

/** A peer's text, short enough for a log line. */
export function shortened(text: string): string {
  return text.length <= MAX_FOREIGN_LENGTH ? text : `${text.slice(0, MAX_FOREIGN_LENGTH - 1).toWellFormed()}…`
}
