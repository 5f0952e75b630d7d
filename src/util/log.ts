/** The daemon's log: pino, on stderr, as text for people or as JSON lines for programs. */

import { writeSync } from 'node:fs'
import { type DestinationStream, type Logger, pino } from 'pino'
import { textLine } from './log-text.ts'

export type { Logger } from 'pino'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export const LOG_FORMATS = ['text', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export interface LogOptions {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Where lines go; stderr unless a test says otherwise. */
  readonly write?: (line: string) => void
}

/** Field names that are never printed, at the top of a record or one level down. */
const SECRET_FIELDS = ['secret', 'password', 'token', 'authorization', 'accessKeyId', 'secretAccessKey', 'sessionToken']

/** Creates the logger. Lines are written synchronously, so the last one before a crash is there. */
export function createLogger(options: LogOptions): Logger {
  const write = options.write ?? writeToStderr
  const destination: DestinationStream =
    options.format === 'json' ? { write } : { write: (line: string) => write(textLine(line)) }
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
    },
    destination,
  )
}

/** An address without user, password and query values: what a log line may show of it. */
export function redactUrl(url: string): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    return url
  }
  if (parsed.username !== '') parsed.username = 'redacted'
  if (parsed.password !== '') parsed.password = 'redacted'
  for (const key of [...parsed.searchParams.keys()]) {
    if (/secret|password|token|key/i.test(key)) parsed.searchParams.set(key, 'redacted')
    // An address within the address, such as that of a server.
    const value = parsed.searchParams.get(key) ?? ''
    if (/:\/\/[^/]*@/.test(value)) parsed.searchParams.set(key, value.replace(/:\/\/[^/]*@/, '://redacted@'))
  }
  return parsed.toString()
}

/** A full or closed stderr must not take the node down: the line is dropped. */
function writeToStderr(line: string): void {
  let rest = Buffer.from(line)
  try {
    while (rest.length > 0) rest = rest.subarray(writeSync(2, rest))
  } catch {
    return
  }
}
