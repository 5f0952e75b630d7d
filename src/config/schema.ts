/** What `ltxd.yml` may hold. Keys that litefs.yml has too mean the same. Every default stands here and nowhere else. */

import { z } from 'zod'
import { LOG_FORMATS } from '../util/log.ts'
import { backupUrl, boolean, command, duration, loopbackAddress, oneOf, redisUrl, size, text } from './scalars.ts'

const fuse = {
  dir: text.optional(),
  'allow-other': boolean.prefault(false),
  driver: oneOf('direct').prefault('direct'),
}

const retention = {
  age: duration('0s').prefault('10m'),
  size: size('1MB', '1000TB').prefault('1GB'),
}

const data = {
  dir: text.prefault('./ltxd-data'),
  // litefs.yml has the age alone.
  retention: z.preprocess((value) => (isScalar(value) ? { age: value } : value), section(retention)).prefault({}),
  'segment-size': size('64KB', '1GB').prefault('16MB'),
}

const snapshot = {
  interval: duration('1s').prefault('24h'),
  retention: duration('1s').prefault('24h'),
}

const backup = {
  url: backupUrl.optional(),
  'sync-interval': duration('10ms', '1h').prefault('1s'),
  levels: z
    .array(duration('1s'), { error: 'expected a list of durations, such as [30s, 5m, 1h]' })
    .min(1, { error: 'expected at least one level' })
    .max(8, { error: 'expected at most eight levels' })
    .refine((levels) => levels.every((ms, i) => i === 0 || ms > (levels[i - 1] ?? 0)), {
      error: 'each level must be longer than the one before',
    })
    .prefault(['30s', '5m', '1h']),
  snapshot: section(snapshot)
    .prefault({})
    .refine((s) => s.retention >= s.interval, { error: 'retention must not be shorter than interval' }),
  'level0-retention': duration('0s').prefault('5m'),
  compaction: oneOf('daemon', 'workers').prefault('daemon'),
}

const redis = { url: redisUrl.optional() }

const execItem = {
  cmd: command,
  // A node with a static lease is always a candidate.
  'if-candidate': boolean.optional(),
}

const http = { addr: loopbackAddress.prefault('127.0.0.1:20202') }

const log = {
  level: oneOf('trace', 'debug', 'info', 'warn', 'error').optional(),
  format: oneOf(...LOG_FORMATS).prefault('text'),
  // As litefs.yml says `level: debug`.
  debug: boolean.optional(),
}

const sections = {
  fuse: section(fuse).prefault({}),
  data: section(data).prefault({}),
  backup: section(backup).prefault({}),
  redis: section(redis).prefault({}),
  exec: z
    .preprocess(execItems, z.array(section(execItem), { error: 'expected a command, or a list of commands' }))
    .prefault([]),
  'exit-on-error': boolean.prefault(true),
  'stop-timeout': duration('100ms', '1h').prefault('8s'),
  http: section(http).prefault({}),
  log: section(log).prefault({}),
  // Its keys are taken out beforehand (later.ts).
  lease: section({}).optional(),
}

export const fileSchema = section(sections)

export type FileValue = z.output<typeof fileSchema>

/** Which keys a section has, to name them in a message; indexed by path without list positions. */
export const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(sections).filter((key) => key !== 'lease'),
  fuse: Object.keys(fuse),
  data: Object.keys(data),
  'data.retention': Object.keys(retention),
  backup: Object.keys(backup),
  'backup.snapshot': Object.keys(snapshot),
  redis: Object.keys(redis),
  exec: Object.keys(execItem),
  http: Object.keys(http),
  log: Object.keys(log).filter((key) => key !== 'debug'),
}

function section<T extends z.core.$ZodLooseShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'expected keys below it' : undefined),
  })
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number'
}

/** A command alone, or a list of commands and of objects with `cmd`: all become the last. */
function execItems(value: unknown): unknown {
  if (typeof value === 'string') return [{ cmd: value }]
  return Array.isArray(value) ? value.map((item: unknown) => (typeof item === 'string' ? { cmd: item } : item)) : value
}
