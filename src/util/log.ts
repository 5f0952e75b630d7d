/**
 * The daemon's log: pino, on stderr, as text for people or as JSON lines for programs. The fields have the same names
 * everywhere: `database`, `txid` (16 hex digits), `position`, `node` (the id of the node that writes the line; only in
 * JSON), `peer` (another node's id), `host`, `url` (redacted), `err` (an error object), `reason` (text), `term`,
 * `file`, `key` (of an object in the backup), `process`, `backupLevel`. Durations end in `Ms`, sizes in `Bytes`.
 */

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
  /** Receives each line; the default writes to stderr. */
  readonly write?: (line: string) => void
}

/** Field names that are never printed, at the top of a record or one level down. */
const SECRET_FIELDS = ['secret', 'password', 'token', 'authorization', 'accessKeyId', 'secretAccessKey', 'sessionToken']

/** Lines are written synchronously, so that the last one before a crash is not lost. */
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

/** Drops the line when stderr is full or closed: that must not stop the node. */
function writeToStderr(line: string): void {
  let rest = Buffer.from(line)
  try {
    while (rest.length > 0) rest = rest.subarray(writeSync(2, rest))
  } catch {
    return
  }
}

/**
 * A logger for what a peer causes: at most `lines` in `withinMs`, so that no peer fills the log. The first line after
 * that time says how many were dropped.
 */
export function limitLines(logger: Logger, lines = 200, withinMs = 10_000): Logger {
  const limited = logger.child({})
  let startedAtMs = -Infinity
  let written = 0
  let dropped = 0
  for (const level of ['info', 'warn', 'error'] as const) {
    const log = limited[level].bind<(...line: unknown[]) => void>(limited)
    limited[level] = (...line: unknown[]) => {
      const now = performance.now()
      if (now - startedAtMs >= withinMs) {
        if (dropped > 0) log({ lines: dropped }, 'log lines about a peer were dropped')
        startedAtMs = now
        written = 0
        dropped = 0
      }
      if (written++ < lines) log(...line)
      else dropped++
    }
  }
  return limited
}
