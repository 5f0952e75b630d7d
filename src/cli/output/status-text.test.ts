import { describe, expect, test } from 'vitest'
import type { ClusterStatus, DatabaseStatus, NodeStatus } from '../../api/status.ts'
import { formatStatus } from './status-text.ts'

const POSITION = '000000000000002a/8000000000000001'
const NOW_MS = 100_000

const DATABASE: DatabaseStatus = {
  name: 'app.db',
  position: POSITION,
  pageSize: 4096,
  sizePages: 10,
  journalMode: 'wal',
  logBytes: 2048,
  commitCount: 42,
}

const ALONE: NodeStatus = {
  version: '1.2.3',
  nodeId: '00000000000000ab',
  pid: 7,
  startedAtMs: 0,
  role: 'primary',
  mount: { dir: '/mnt', requests: {} },
  data: { dir: '/data' },
  databases: [DATABASE],
}

const CLUSTER: ClusterStatus = { type: 'consul', id: 'LTXD01', term: '7', candidate: true, replicas: [] }

const linesOf = (status: NodeStatus) => formatStatus(status, NOW_MS).split('\n')

test('the status of a node without a cluster shows no cluster', () => {
  expect(linesOf(ALONE)).toEqual([
    'node    00000000000000ab, primary, up 1 min 40 s, pid 7, ltxd 1.2.3',
    'mount   /mnt',
    'data    /data',
    'backup  none',
    '',
    'DATABASE  POSITION                           JOURNAL     SIZE      LOG  BACKUP',
    `app.db    ${POSITION}  wal      41.0 KB  2.05 KB  -`,
    '',
  ])
})

describe('a backup', () => {
  const shipped = { txid: '000000000000002a', lagMs: 0, unverifiedMs: 3_725_900 }
  const restorable = { sinceMs: 0, verifiedAtMs: 1 }

  test.each([
    ['up to date, not verified yet', {}],
    ['up to date, verified 1 h 2 min ago', { restorable }],
    ['up to date, verified 1 h 2 min ago, problem: a gap', { restorable, problem: 'a gap' }],
    [
      'up to date, verified 1 h 2 min ago, failing: away, problem: listing fails: away',
      { restorable, lastError: 'away', problem: 'listing fails: away' },
    ],
  ])('is %s', (cell, more) => {
    const backup = { ...shipped, ...more }
    expect(linesOf({ ...ALONE, databases: [{ ...DATABASE, backup }] }).at(-2)).toMatch(new RegExp(`KB  ${cell}$`))
  })
})

describe('a primary', () => {
  test('shows its lease and its replicas', () => {
    const replicas = [
      { nodeId: '00000000000000cd', hostname: 'b', connectedAtMs: 40_000, behind: 0, positions: {} },
      { nodeId: '00000000000000ef', hostname: 'node-c', connectedAtMs: 99_900, behind: 12, positions: {} },
    ]
    expect(linesOf({ ...ALONE, cluster: { ...CLUSTER, leaseRemainingMs: 8240, replicas } }).slice(1, 10)).toEqual([
      'cluster LTXD01, consul, term 7, candidate',
      'lease   expires in 8.2 s unless renewed',
      'mount   /mnt',
      'data    /data',
      'backup  none',
      '',
      'REPLICA  NODE                       BEHIND  CONNECTED',
      'b        00000000000000cd                0  for 1 min',
      'node-c   00000000000000ef  12 transactions  for 0 ms',
    ])
  })

  test('without replicas says so', () => {
    expect(linesOf({ ...ALONE, cluster: CLUSTER })).toContain('no replicas connected')
  })
})

describe('a replica', () => {
  const primary = { nodeId: '00000000000000cd', hostname: 'b', url: 'http://127.0.0.1:1' }
  const replica: NodeStatus = { ...ALONE, role: 'replica', cluster: { ...CLUSTER, primary } }
  const withCluster = (cluster: Partial<ClusterStatus>) =>
    linesOf({ ...replica, cluster: { ...CLUSTER, primary, ...cluster } })

  test('shows its primary and its lag', () => {
    const who = 'primary b (00000000000000cd) at http://127.0.0.1:1'
    expect(withCluster({ connected: true, lagMs: 12 })[2]).toBe(`${who}, connected, 12 ms behind`)
    expect(withCluster({ connected: true, lagMs: 0.3 })[2]).toBe(`${who}, connected, 0 ms behind`)
    expect(withCluster({ connected: true, lagMs: 1_198 })[2]).toBe(`${who}, connected, 1.198 s behind`)
    expect(withCluster({ connected: false, lagMs: 12 })[2]).toBe(`${who}, not connected`)
    const cut = { connected: false, lagMs: 12, disconnectedAtMs: NOW_MS - 90_000, disconnectedReason: 'ECONNREFUSED' }
    expect(withCluster(cut)[2]).toBe(`${who}, not connected for 1 min 30 s: ECONNREFUSED`)
    expect(withCluster({ connected: false })).not.toContain('no replicas connected')
  })

  test('that is not a candidate says so, and shows the last error', () => {
    const lines = withCluster({ candidate: false, connected: false, lastError: 'ECONNREFUSED\u001b[2J' })
    expect(lines[1]).toBe('cluster LTXD01, consul, term 7, not a candidate')
    expect(lines[3]).toBe('problem ECONNREFUSED\\x1b[2J')
  })

  test.each([
    [{ state: 'following' }, 'following'],
    [{ state: 'following', behind: 3 }, 'following, 3 behind'],
    [{ state: 'lagging', behind: 1, reason: 'a reader' }, 'lagging, 1 behind: a reader'],
    [{ state: 'resyncing', reason: 'checksum differs' }, 'resyncing: checksum differs'],
  ] as const)('shows the replication of each database: %j', (replication, cell) => {
    const [title, row] = linesOf({ ...replica, databases: [{ ...DATABASE, replication }] }).slice(-3)
    const at = title?.indexOf('REPLICATION') ?? -1
    expect(row?.slice(at).split('  ')[0]).toBe(cell)
  })
})

test('an idle node says that its primary is unknown', () => {
  expect(linesOf({ ...ALONE, role: 'idle', cluster: CLUSTER })[2]).toMatch(/^primary unknown/)
})

test('databases that are not replicated are named below the others, ten at most', () => {
  const names = Array.from({ length: 12 }, (_, i) => `secret-${i}.db`)
  expect(linesOf({ ...ALONE, unreplicated: { count: 12, names } }).slice(7)).toEqual([
    '',
    '12 databases are not replicated and not backed up (encrypted, and not in WAL mode):',
    ...names.slice(0, 10).map((name) => `  ${name}`),
    '  and 2 more',
    '',
  ])
})
