/** The keys of `ltxd.yml` and their defaults. Keys that litefs.yml also has mean the same. */

import { z } from 'zod'
import { LOG_FORMATS } from '../util/log.ts'
import {
  backupUrl,
  boolean,
  command,
  consulUrl,
  duration,
  fileMode,
  loopbackAddress,
  mode,
  oneOf,
  pattern,
  peerUrl,
  redisUrl,
  size,
  text,
  userId,
} from './scalars.ts'

/** Below the working directory of a command that nothing tells another. */
export const DEFAULT_DATA_DIR = './ltxd-data'

const fuse = {
  dir: text.optional(),
  'allow-other': boolean.prefault(false),
  driver: oneOf('direct', 'fuse-native').prefault('direct'),
  latency: oneOf('normal', 'low').prefault('normal'),
  uid: userId.optional(),
  gid: userId.optional(),
  mode: fileMode.optional(),
  databases: z
    .array(pattern, { error: 'expected a list of patterns, such as ["*.db"]' })
    .min(1, { error: 'expected at least one pattern' })
    .prefault(['**']),
  'other-files': oneOf('serve', 'refuse').prefault('serve'),
  'stale-clients': oneOf('warn', 'stop').prefault('warn'),
  'replica-writes': oneOf('auto', 'readonly').prefault('auto'),
}

const retention = {
  age: duration('0s').prefault('10m'),
  size: size('1MB', '1000TB').prefault('1GB'),
}

const data = {
  dir: text.prefault(DEFAULT_DATA_DIR),
  mode: mode.prefault('0700'),
  // litefs.yml has only the age.
  retention: z.preprocess((value) => (isScalar(value) ? { age: value } : value), section(retention)).prefault({}),
  'segment-size': size('64KB', '1GB').prefault('16MB'),
  checkpoint: oneOf('ltxd', 'application').prefault('ltxd'),
}

const snapshot = {
  interval: duration('1s').prefault('24h'),
  retention: duration('1s').prefault('24h'),
}

const verify = { interval: duration('1s').prefault('24h') }

const backup = {
  url: backupUrl.optional(),
  mode: mode.prefault('0700'),
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
  verify: section(verify).prefault({}),
  compaction: oneOf('daemon', 'workers').prefault('daemon'),
}

const redis = { url: redisUrl.optional() }

/** Consul's sessions last at least 10 s. A lease can be shorter, because its record contains its end. */
const leaseTtl = duration('2s', '1h')

const consul = {
  url: consulUrl.optional(),
  key: text.prefault('ltxd/primary'),
  // As in litefs.yml.
  ttl: leaseTtl.optional(),
}

const lease = {
  // Default: consul with a URL of Consul, otherwise static.
  type: oneOf('static', 'consul').optional(),
  candidate: boolean.prefault(true),
  promote: boolean.prefault(false),
  hostname: text.optional(),
  'advertise-url': peerUrl.optional(),
  ttl: leaseTtl.optional(),
  'reconnect-delay': duration('10ms', '1h').prefault('1s'),
  'demote-delay': duration('0s', '1h').prefault('10s'),
  // Default: the TTL.
  yield: duration('0s', '1h').optional(),
  found: oneOf('wait', 'now', 'never').prefault('wait'),
  consul: section(consul).prefault({}),
}

const stream = {
  'max-lag': duration('100ms', '1h').optional(),
  'spool-size': size('1MB', '1000TB').optional(),
}

export const DEFAULT_LEASE_TTL_MS = 10_000

const execItem = {
  cmd: command,
  'if-candidate': boolean.optional(),
}

const http = { addr: loopbackAddress.prefault('127.0.0.1:20202') }

const ready = { unreplicated: oneOf('ok', 'fail').prefault('ok'), backup: oneOf('ok', 'fail').prefault('ok') }

const log = {
  level: oneOf('trace', 'debug', 'info', 'warn', 'error').optional(),
  format: oneOf(...LOG_FORMATS).prefault('text'),
  // As litefs.yml writes `level: debug`.
  debug: boolean.optional(),
}

const sections = {
  fuse: section(fuse).prefault({}),
  data: section(data).prefault({}),
  backup: section(backup).prefault({}),
  redis: section(redis).prefault({}),
  stream: section(stream).prefault({}),
  exec: z
    .preprocess(execItems, z.array(section(execItem), { error: 'expected a command, or a list of commands' }))
    .prefault([]),
  'exit-on-error': boolean.prefault(true),
  'stop-timeout': duration('100ms', '1h').prefault('25s'),
  http: section(http).prefault({}),
  ready: section(ready).prefault({}),
  log: section(log).prefault({}),
  // Absent: a single node, which is the primary.
  lease: z.preprocess(
    emptyAsAbsent,
    section(lease)
      .superRefine((value, context) => {
        for (const { path, message } of leaseClashes(value))
          context.issues.push({ code: 'custom', path, message, input: value })
      })
      .optional(),
  ),
}

export const fileSchema = section(sections)

export type FileValue = z.output<typeof fileSchema>

/** The keys of each section, for messages. Indexed by path, without list positions. */
export const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(sections),
  fuse: Object.keys(fuse),
  data: Object.keys(data),
  'data.retention': Object.keys(retention),
  backup: Object.keys(backup),
  'backup.snapshot': Object.keys(snapshot),
  'backup.verify': Object.keys(verify),
  redis: Object.keys(redis),
  stream: Object.keys(stream),
  lease: Object.keys(lease),
  'lease.consul': Object.keys(consul).filter((key) => key !== 'ttl'),
  exec: Object.keys(execItem),
  http: Object.keys(http),
  ready: Object.keys(ready),
  log: Object.keys(log).filter((key) => key !== 'debug'),
}

interface LeaseValue {
  readonly type?: 'static' | 'consul' | undefined
  readonly candidate: boolean
  readonly promote: boolean
  readonly 'advertise-url'?: string | undefined
  readonly ttl?: number | undefined
  readonly yield?: number | undefined
  readonly found: 'wait' | 'now' | 'never'
  readonly consul: { readonly url?: string | undefined; readonly ttl?: number | undefined }
}

/** Combinations of keys that are not allowed. */
function leaseClashes(value: LeaseValue): { path: string[]; message: string }[] {
  const { type, consul, candidate, promote, ttl } = value
  const isStatic = type === 'static' || (type === undefined && consul.url === undefined)
  const clashes: { path: string[]; message: string; is: boolean }[] = [
    {
      path: ['consul'],
      is: type === 'static' && consul.url !== undefined,
      message: 'is only for type: consul, but this lease is static',
    },
    {
      path: ['consul', 'url'],
      is: !isStatic && consul.url === undefined,
      message: 'is missing: expected with type: consul, such as http://127.0.0.1:8500',
    },
    {
      path: ['consul', 'ttl'],
      is: ttl !== undefined && consul.ttl !== undefined,
      message: 'repeats lease.ttl: remove one of them',
    },
    {
      path: ['ttl'],
      is: isStatic && (ttl ?? consul.ttl) !== undefined,
      message: 'is only for type: consul: a static lease has no end',
    },
    { path: ['yield'], is: isStatic && value.yield !== undefined, message: 'is only for type: consul' },
    { path: ['found'], is: isStatic && value.found !== 'wait', message: 'is only for type: consul' },
    { path: ['promote'], is: promote && (isStatic || !candidate), message: 'needs type: consul and candidate: true' },
    {
      path: ['advertise-url'],
      is: isStatic && !candidate && value['advertise-url'] === undefined,
      message: 'is missing: a replica of a static primary needs that primary’s URL',
    },
  ]
  return clashes.filter(({ is }) => is)
}

function section<T extends z.core.$ZodLooseShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'expected keys below it' : undefined),
  })
}

/** Makes a section absent whose keys are all commented out, such as `lease:` above an empty `consul:`. */
function emptyAsAbsent(value: unknown): unknown {
  const isEmpty = (item: unknown): boolean =>
    typeof item === 'object' && item !== null && !Array.isArray(item) && Object.values(item).every(isEmpty)
  return isEmpty(value) ? undefined : value
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number'
}

/** Turns a command, or a list of commands and objects with `cmd`, into a list of objects with `cmd`. */
function execItems(value: unknown): unknown {
  if (typeof value === 'string') return [{ cmd: value }]
  return Array.isArray(value) ? value.map((item: unknown) => (typeof item === 'string' ? { cmd: item } : item)) : value
}
