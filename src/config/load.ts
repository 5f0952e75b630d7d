/** Makes the effective configuration from a file and flags. One error reports all problems. */

import { hostname } from 'node:os'
import { resolve } from 'node:path'
import type { z } from 'zod'
import type { BackupConfig, ClusterConfig, Command, Config } from './config.ts'
import { checkDirectories } from './directories.ts'
import { type ConfigDocument, parseConfigDocument } from './document.ts'
import { ConfigError, type ConfigIssue, formatKeyPath, type KeyPath } from './errors.ts'
import type { Environment } from './expand.ts'
import { configPaths, findConfigFile, readConfigFile, readFoundConfigFile } from './find.ts'
import { DEFAULT_LEASE_TTL_MS, fileSchema, type FileValue, KNOWN_KEYS } from './schema.ts'
import { removeUnsupportedKeys } from './unsupported-keys.ts'

/** A value from the command line, which overrides the file's. */
export interface Flag {
  /** As the user wrote it, for messages: `--http`. */
  readonly flag: string
  readonly path: readonly string[]
  readonly value: string | boolean
}

export interface LoadOptions {
  /** `--config`; absent: the first file of `paths`. */
  readonly file?: string
  readonly flags?: readonly Flag[]
  /** The application's arguments after `--`; they replace `exec`. */
  readonly application?: readonly string[]
  readonly environment?: Environment
  /** Where to search for a file. Default: the usual paths. */
  readonly paths?: readonly string[]
}

/** Reads, merges and checks the configuration. Throws ConfigError with every wrong key and its line or flag. */
export function loadConfig(options: LoadOptions = {}): Config {
  if (options.file !== undefined) return parseFile(options.file, readConfigFile(options.file), options)
  const found = findConfigFile(options.paths ?? configPaths())
  return found === undefined ? parseConfig(undefined, options) : parseFile(found, readFoundConfigFile(found), options)
}

function parseFile(file: string, text: string, options: LoadOptions): Config {
  return { file, ...parseConfig({ name: file, text }, options) }
}

/** Like `loadConfig`, from a text. */
export function parseConfig(source: { name: string; text: string } | undefined, options: LoadOptions = {}): Config {
  const document = source && parseConfigDocument(source.text, source.name, options.environment ?? process.env)
  const value = withoutEmpty(document?.value)
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new ConfigError([{ path: [], message: 'expected keys, such as "fuse:"', origin: source?.name ?? '' }])
  }
  const flags = options.flags ?? []
  for (const flag of flags) setAt(value, flag.path, flag.value)

  const origin = (path: KeyPath) => originOf(path, flags, document)
  const issues: ConfigIssue[] = removeUnsupportedKeys(value).map((issue) => ({ ...issue, ...origin(issue.path) }))
  const result = fileSchema.safeParse(value)
  for (const issue of result.error?.issues ?? []) {
    for (const { path, message } of explain(issue)) issues.push({ path, message, ...origin(path) })
  }
  if (!result.success || issues.length > 0) throw new ConfigError(issues)

  const config = toConfig(result.data, options.application)
  const clashes = [...checkDirectories(config), ...checkDriver(config)]
  if (clashes.length > 0) throw new ConfigError(clashes.map((clash) => ({ ...clash, ...origin(clash.path) })))
  return config
}

/** Removes empty values: a section whose keys are all commented out reads as null, and counts as absent. */
function withoutEmpty(value: unknown): Record<string, unknown> {
  if (value === null || value === undefined) return {}
  if (typeof value !== 'object' || Array.isArray(value)) return value as Record<string, unknown>
  const entries = Object.entries(value).filter(([, item]) => item !== null && item !== undefined)
  return Object.fromEntries(entries.map(([key, item]) => [key, typeof item === 'object' ? withoutEmpty(item) : item]))
}

function setAt(value: Record<string, unknown>, path: readonly string[], leaf: string | boolean): void {
  const [key, ...rest] = path
  if (key === undefined) return
  if (rest.length === 0) {
    value[key] = leaf
    return
  }
  const child = (value[key] ??= {})
  // A value that is not a section stays: the schema rejects it.
  if (typeof child === 'object' && !Array.isArray(child)) setAt(child as Record<string, unknown>, rest, leaf)
}

function originOf(path: KeyPath, flags: readonly Flag[], document?: ConfigDocument): { origin?: string } {
  const flag = flags.find((candidate) => formatKeyPath(candidate.path) === formatKeyPath(path))
  if (flag !== undefined) return { origin: flag.flag }
  return document === undefined ? {} : { origin: document.origin(path) }
}

function explain(issue: z.core.$ZodIssue): { path: KeyPath; message: string }[] {
  const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key))
  if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }]
  const known = KNOWN_KEYS[path.filter((key) => typeof key === 'string').join('.')] ?? []
  const hint = known.length > 0 ? `; known here: ${known.join(', ')}` : ''
  return issue.keys.map((key) => ({ path: [...path, key], message: `unknown key${hint}` }))
}

function toConfig(value: FileValue, application?: readonly string[]): Config {
  const { fuse, data, backup, redis, lease, stream } = value
  return {
    fuse: {
      ...(fuse.dir === undefined ? {} : { dir: resolve(fuse.dir) }),
      allowOther: fuse['allow-other'],
      driver: fuse.driver,
      latency: fuse.latency,
      owner: {
        ...(fuse.uid !== undefined && { uid: fuse.uid }),
        ...(fuse.gid !== undefined && { gid: fuse.gid }),
        ...(fuse.mode !== undefined && { mode: fuse.mode }),
      },
      databases: fuse.databases,
      otherFiles: fuse['other-files'],
      staleClients: fuse['stale-clients'],
      replicaWrites: fuse['replica-writes'],
    },
    data: {
      dir: resolve(data.dir),
      mode: data.mode,
      retention: { ageMs: data.retention.age, sizeBytes: data.retention.size },
      segmentSizeBytes: data['segment-size'],
      checkpoint: data.checkpoint,
    },
    ...(backup.url === undefined ? {} : { backup: toBackupConfig(backup, backup.url) }),
    ...(lease === undefined ? {} : { cluster: toClusterConfig(lease) }),
    stream: { maxLagMs: stream['max-lag'], spoolBytes: stream['spool-size'] },
    ...(redis.url === undefined ? {} : { redis: { url: redis.url } }),
    exec: application === undefined ? commands(value) : [{ argv: application }],
    exitOnError: value['exit-on-error'],
    stopTimeoutMs: value['stop-timeout'],
    http: value.http.addr,
    ready: value.ready,
    log: { level: value.log.level ?? (value.log.debug === true ? 'debug' : 'info'), format: value.log.format },
  }
}

/**
 * A replica must know which process writes, and must tell the kernel which pages it applied. libfuse supports neither.
 */
function checkDriver({ fuse, cluster }: Config): { path: KeyPath; message: string }[] {
  if (fuse.driver === 'direct' || cluster === undefined) return []
  const message = `expected "direct" where lease is set: through "${fuse.driver}" a node cannot tell which process writes; leave it out, or leave lease out`
  return [{ path: ['fuse', 'driver'], message }]
}

/** Omits commands for candidates on a node that is not one. */
function commands({ exec, lease }: FileValue): Command[] {
  const wanted = exec.filter((item) => item['if-candidate'] !== true || lease?.candidate !== false)
  return wanted.map((item) => ({ argv: item.cmd }))
}

function toClusterConfig(lease: NonNullable<FileValue['lease']>): ClusterConfig {
  const { url, key, ttl } = lease.consul
  return {
    type: url === undefined ? 'static' : 'consul',
    candidate: lease.candidate,
    promote: lease.promote,
    hostname: lease.hostname ?? hostname(),
    ...(lease['advertise-url'] === undefined ? {} : { advertiseUrl: lease['advertise-url'] }),
    ttlMs: lease.ttl ?? ttl ?? DEFAULT_LEASE_TTL_MS,
    reconnectDelayMs: lease['reconnect-delay'],
    demoteDelayMs: lease['demote-delay'],
    yieldMs: lease.yield ?? lease.ttl ?? ttl ?? DEFAULT_LEASE_TTL_MS,
    found: lease.found,
    ...(url === undefined ? {} : { consul: { url, key } }),
  }
}

function toBackupConfig(backup: FileValue['backup'], url: string): BackupConfig {
  return {
    url,
    mode: backup.mode,
    syncIntervalMs: backup['sync-interval'],
    levelIntervalsMs: backup.levels,
    snapshot: { intervalMs: backup.snapshot.interval, retentionMs: backup.snapshot.retention },
    level0RetentionMs: backup['level0-retention'],
    verify: { intervalMs: backup.verify.interval },
    compaction: backup.compaction,
  }
}
