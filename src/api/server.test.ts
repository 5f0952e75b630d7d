import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLogger } from '../util/log.ts'
import { readAddress } from './address-file.ts'
import { fetchStatus } from './client.ts'
import { type Api, startApi } from './server.ts'
import type { ClusterStatus, NodeStatus } from './status.ts'

const STATUS: NodeStatus = {
  version: '1.2.3',
  nodeId: '00000000000000ab',
  pid: 1,
  startedAtMs: 0,
  role: 'primary',
  mount: { dir: '/mnt', requests: { WRITE: 3 } },
  data: { dir: '/data' },
  unreplicated: { count: 2, names: ['a', 'b'] },
  databases: [
    {
      name: 'a "b".db',
      position: '000000000000002a/8000000000000001',
      pageSize: 4096,
      sizePages: 10,
      journalMode: 'wal',
      logBytes: 1234,
      commitCount: 42,
      backup: { txid: '0000000000000029', lagMs: 1500 },
      checkpoint: {
        walBytes: 32992,
        isGuarded: true,
        count: 3,
        totalMs: 2500,
        lastMs: 12,
        alarms: 1,
        frames: 8,
        left: 2,
      },
    },
  ],
}

const CLUSTER: ClusterStatus = {
  type: 'consul',
  id: 'LTXD0123',
  term: '7',
  candidate: true,
  leaseRemainingMs: 8250,
  replicas: [{ nodeId: '00000000000000cd', hostname: 'b', connectedAtMs: 0, behind: 3, positions: {} }],
}

let dataDir: string
let api: Api
let status: NodeStatus
let routes: (server: FastifyInstance) => void
let reason: string | undefined

function start(port = 0): Promise<Api> {
  const source = { status: () => status, unready: () => reason }
  const logger = createLogger({ level: 'silent', format: 'json' })
  return startApi({ http: { host: '127.0.0.1', port }, dataDir, source, routes: (server) => routes(server), logger })
}

beforeEach(async () => {
  status = STATUS
  routes = () => undefined
  dataDir = await mkdtemp(join(tmpdir(), 'ltxd-api-'))
  api = await start()
})

afterEach(async () => {
  await api.close()
  await rm(dataDir, { recursive: true })
})

test('the API listens on a free port, and api.json names it while the node runs', async () => {
  expect(api.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  expect(readAddress(dataDir)).toEqual({ url: api.url, pid: process.pid })
  expect(await fetchStatus(api.url)).toEqual(STATUS)
  await api.close()
  expect(existsSync(join(dataDir, 'api.json'))).toBe(false)
  expect(readAddress(dataDir)).toBeUndefined()
  await expect(fetchStatus(api.url)).rejects.toMatchObject({ code: 'NODE_UNREACHABLE' })
})

test('a busy port is an error that names the port and the option', async () => {
  const port = Number(new URL(api.url).port)
  await expect(start(port)).rejects.toMatchObject({
    code: 'API_PORT_BUSY',
    exitCode: 1,
    message: expect.stringMatching(new RegExp(`port ${port} .*--http`)) as string,
  })
})

test('a node that is not ready is still healthy', async () => {
  reason = 'restoring a.db from the backup'
  expect((await fetch(`${api.url}/health`)).status).toBe(200)
  const unready = await fetch(`${api.url}/ready`)
  expect([unready.status, await unready.json()]).toEqual([503, { status: 'unready', reason }])
  reason = undefined
  expect((await fetch(`${api.url}/ready`)).status).toBe(200)
})

test('the metrics cover each database', async () => {
  const text = await (await fetch(`${api.url}/metrics`)).text()
  for (const line of [
    'ltxd_info{version="1.2.3",node_id="00000000000000ab"} 1',
    'ltxd_db_count 1',
    'ltxd_unreplicated_databases 2',
    'ltxd_mount_requests_total{operation="WRITE"} 3',
    'ltxd_db_txid{db="a \\"b\\".db"} 42',
    'ltxd_db_size_bytes{db="a \\"b\\".db"} 40960',
    'ltxd_db_commit_count{db="a \\"b\\".db"} 42',
    'ltxd_db_backup_txid{db="a \\"b\\".db"} 41',
    'ltxd_db_backup_lag_seconds{db="a \\"b\\".db"} 1.5',
    'ltxd_db_wal_bytes{db="a \\"b\\".db"} 32992',
    'ltxd_db_wal_frames_left{db="a \\"b\\".db"} 2',
    'ltxd_db_checkpoint_guarded{db="a \\"b\\".db"} 1',
    'ltxd_db_checkpoint_count{db="a \\"b\\".db"} 3',
    'ltxd_db_checkpoint_last_seconds{db="a \\"b\\".db"} 0.012',
    'ltxd_db_checkpoint_seconds_total{db="a \\"b\\".db"} 2.5',
    'ltxd_db_wal_guard_alarms_total{db="a \\"b\\".db"} 1',
  ]) {
    expect(text).toContain(line + '\n')
  }
})

test('a cluster metric has a sample only in a role in which it has a value', async () => {
  const metrics = async () => {
    const text = await (await fetch(`${api.url}/metrics`)).text()
    const names = /^ltxd_(is_primary|term|lag_seconds|replica|lease).*$/gm
    return (text.match(names) ?? []).sort()
  }
  expect(await metrics()).toEqual(['ltxd_is_primary 1'])
  status = { ...STATUS, cluster: CLUSTER }
  expect(await metrics()).toEqual([
    'ltxd_is_primary 1',
    'ltxd_lag_seconds 0',
    'ltxd_lease_remaining_seconds 8.25',
    'ltxd_replica_behind_transactions{node="00000000000000cd"} 3',
    'ltxd_replicas 1',
    'ltxd_term 7',
  ])
  const { leaseRemainingMs: _, ...cluster } = CLUSTER
  status = { ...STATUS, role: 'replica', cluster: { ...cluster, connected: true, lagMs: 12, replicas: [] } }
  expect(await metrics()).toEqual(['ltxd_is_primary 0', 'ltxd_lag_seconds 0.012', 'ltxd_replicas 0', 'ltxd_term 7'])
  status = { ...STATUS, role: 'idle', cluster: { ...cluster, replicas: [] } }
  expect(await metrics()).toEqual(['ltxd_is_primary 0', 'ltxd_replicas 0', 'ltxd_term 7'])
})

test('additional routes are behind the same Host check', async () => {
  await api.close()
  routes = (server) => void server.post('/more', () => ({ more: true }))
  api = await start()
  expect(await (await fetch(`${api.url}/more`, { method: 'POST' })).json()).toEqual({ more: true })
  expect(await statusUnder('evil.example', 'POST', '/more')).toBe(421)
})

/** The status of a response to a request with this Host header. */
function statusUnder(host: string, method: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${api.url}${path}`, { method, headers: { host } }, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end()
  })
}

test('a request with a foreign Host header is rejected before any route sees it', async () => {
  expect(await statusUnder('evil.example', 'GET', '/status')).toBe(421)
  expect(await statusUnder('evil.example', 'POST', '/promote')).toBe(421)
})

test('an unknown path gets a 404 in JSON', async () => {
  const response = await fetch(`${api.url}/nope`)
  expect([response.status, await response.json()]).toEqual([
    404,
    { error: { code: 'NOT_FOUND', message: 'no route GET /nope' } },
  ])
})
