/**
 * Keys of litefs.yml and of later versions of ltxd that this version does not support. They are rejected with a reason,
 * never ignored.
 */

import type { ConfigIssue, KeyPath } from './errors.ts'

interface Rule {
  readonly path: readonly string[]
  /** Values that are accepted, because they ask for what this version does anyway. */
  readonly accepts?: readonly unknown[]
  readonly instead: string
}

export const UNSUPPORTED_KEYS: readonly Rule[] = [
  { path: ['lease', 'databases'], instead: 'not supported: a cluster replicates all databases' },
  {
    path: ['lease', 'consul', 'lock-delay'],
    instead: 'not needed: a lease is free when its record says so, or after lease.ttl without a change. Remove it',
  },
  { path: ['consul'], instead: 'move it below lease' },
  { path: ['cluster'], instead: 'not supported by this version: its nodes listen on loopback only' },
  { path: ['durability'], accepts: ['local'], instead: 'only "local" is supported by this version' },
  { path: ['hydrate'], accepts: ['full'], instead: 'only "full" is supported by this version' },
  { path: ['proxy'], instead: 'the HTTP proxy is not supported by this version' },
  { path: ['tracing'], instead: 'tracing is not supported by this version' },
  {
    path: ['skip-sync'],
    accepts: [false],
    instead: 'not supported: every sync of an application is carried out; set PRAGMA synchronous there',
  },
  { path: ['strict-verify'], accepts: [false], instead: 'not supported by this version' },
  { path: ['fuse', 'debug'], accepts: [false], instead: 'not supported: use log.level: trace' },
  { path: ['data', 'compress'], accepts: [true], instead: 'not supported: transactions are always compressed' },
  { path: ['data', 'retention-monitor-interval'], instead: 'not supported: retention needs no interval of its own' },
]

/** Removes these keys from `value`. Returns an issue for each key whose value is not accepted. */
export function removeUnsupportedKeys(value: unknown): Pick<ConfigIssue, 'path' | 'message'>[] {
  const issues: { path: KeyPath; message: string }[] = []
  for (const rule of UNSUPPORTED_KEYS) {
    const key = rule.path.at(-1) ?? ''
    const parent = rule.path.slice(0, -1).reduce<unknown>((at, name) => (isObject(at) ? at[name] : undefined), value)
    if (!isObject(parent) || !Object.hasOwn(parent, key)) continue
    if (rule.accepts?.includes(parent[key]) !== true) issues.push({ path: rule.path, message: rule.instead })
    delete parent[key]
  }
  return issues
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
