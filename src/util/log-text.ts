/** A log record as one line for people: `12:01:33.120 warn  database opened db=a.db pages=12`. */

import { styleText } from 'node:util'

const HIDDEN = new Set(['level', 'time', 'msg', 'v', 'pid', 'hostname', 'err'])

/** One JSON line of pino's as text; a line that is not a JSON object is passed through. */
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
    oneLine(typeof record.msg === 'string' ? record.msg : ''),
  ]
  for (const [key, value] of Object.entries(record)) {
    if (!HIDDEN.has(key)) parts.push(paint('dim', `${key}=`) + field(value))
  }
  const error = record.err as { message?: unknown; stack?: unknown } | undefined
  if (error !== undefined) parts.push(paint('dim', 'error=') + field(error.message ?? error))
  const stack = (level === 'fatal' || process.env.LTXD_DEBUG === '1') && typeof error?.stack === 'string'
  return parts.filter((part) => part !== '').join(' ') + (stack ? `\n${String(error.stack)}` : '') + '\n'
}

const COLOURS: Record<string, Parameters<typeof styleText>[0]> = {
  trace: 'dim',
  debug: 'dim',
  info: 'cyan',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
}

function localTime(iso: string): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return iso
  const two = (n: number) => String(n).padStart(2, '0')
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return `${time}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

function field(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value) ?? 'undefined'
  return /^[\w@%+=:,./-]+$/.test(value) ? value : JSON.stringify(value)
}

/** Control characters (a file's name may hold them) never reach the terminal. */
function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
