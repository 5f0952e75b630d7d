/** The effective configuration in the form of `ltxd.yml`, for `ltxd config`. */

import { redactUrl } from '../util/redact.ts'
import { formatDuration, formatSizeExact } from '../util/units.ts'
import { joinWords } from '../util/words.ts'
import type { ClusterConfig, Config } from './config.ts'

/** The configuration as the value of an `ltxd.yml`, with secrets in URLs redacted. */
export function toFileValue(config: Config): Record<string, unknown> {
  const { fuse, data, backup, cluster, stream, redis, http, ready, log } = config
  return {
    fuse: {
      ...(fuse.dir === undefined ? {} : { dir: literal(fuse.dir) }),
      'allow-other': fuse.allowOther,
      driver: fuse.driver,
      latency: fuse.latency,
      ...ownerValue(fuse.owner),
      databases: fuse.databases.map(literal),
      'other-files': fuse.otherFiles,
      'stale-clients': fuse.staleClients,
      'replica-writes': fuse.replicaWrites,
    },
    data: {
      dir: literal(data.dir),
      mode: formatMode(data.mode),
      retention: { age: formatDuration(data.retention.ageMs), size: formatSizeExact(data.retention.sizeBytes) },
      'segment-size': formatSizeExact(data.segmentSizeBytes),
      checkpoint: data.checkpoint,
    },
    ...(backup === undefined
      ? {}
      : {
          backup: {
            url: literal(redactUrl(backup.url)),
            mode: formatMode(backup.mode),
            'sync-interval': formatDuration(backup.syncIntervalMs),
            levels: backup.levelIntervalsMs.map(formatDuration),
            snapshot: {
              interval: formatDuration(backup.snapshot.intervalMs),
              retention: formatDuration(backup.snapshot.retentionMs),
            },
            'level0-retention': formatDuration(backup.level0RetentionMs),
            verify: { interval: formatDuration(backup.verify.intervalMs) },
            compaction: backup.compaction,
          },
        }),
    ...(cluster === undefined ? {} : { lease: leaseValue(cluster) }),
    ...streamValue(stream),
    ...(redis === undefined ? {} : { redis: { url: literal(redactUrl(redis.url)) } }),
    ...(config.exec.length === 0 ? {} : { exec: config.exec.map(({ argv }) => ({ cmd: literal(joinWords(argv)) })) }),
    'exit-on-error': config.exitOnError,
    'stop-timeout': formatDuration(config.stopTimeoutMs),
    http: { addr: `${http.host.includes(':') ? `[${http.host}]` : http.host}:${http.port}` },
    ready: { ...ready },
    log: { level: log.level, format: log.format },
  }
}

function streamValue({ maxLagMs, spoolBytes }: Config['stream']): Record<string, unknown> {
  if (maxLagMs === undefined && spoolBytes === undefined) return {}
  return {
    stream: {
      ...(maxLagMs !== undefined && { 'max-lag': formatDuration(maxLagMs) }),
      ...(spoolBytes !== undefined && { 'spool-size': formatSizeExact(spoolBytes) }),
    },
  }
}

function leaseValue(cluster: ClusterConfig): Record<string, unknown> {
  const { type, candidate, promote, hostname, advertiseUrl, ttlMs, consul } = cluster
  return {
    type,
    candidate,
    promote,
    hostname: literal(hostname),
    ...(advertiseUrl === undefined ? {} : { 'advertise-url': literal(advertiseUrl) }),
    ...(consul === undefined ? {} : { ttl: formatDuration(ttlMs) }),
    'reconnect-delay': formatDuration(cluster.reconnectDelayMs),
    'demote-delay': formatDuration(cluster.demoteDelayMs),
    ...(consul === undefined ? {} : { yield: formatDuration(cluster.yieldMs), found: cluster.found }),
    ...(consul === undefined
      ? {}
      : { consul: { url: literal(redactUrl(consul.url).replace(/\/$/, '')), key: literal(consul.key) } }),
  }
}

function ownerValue({ mode, ...ids }: Config['fuse']['owner']): Record<string, unknown> {
  return { ...ids, ...(mode !== undefined && { mode: formatMode(mode) }) }
}

function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

/** Escapes dollar signs, so that reading the text back finds no variable. */
function literal(text: string): string {
  return text.replaceAll('$', '$$$$')
}
