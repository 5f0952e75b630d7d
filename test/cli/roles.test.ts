import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Api, type ApiSource, startApi } from '../../src/api/server.ts'
import type { ClusterStatus, NodeStatus } from '../../src/api/status.ts'
import { LtxdError } from '../../src/util/errors.ts'
import { createLogger } from '../../src/util/log.ts'
import { ltxd } from './run.ts'

const NODE_ID = '00000000000000ab'
const PRIMARY = { nodeId: '00000000000000cd', hostname: 'node-b', url: 'http://127.0.0.1:9' }

/** A node's API with a role that commands can change. */
class Peer implements ApiSource {
  role: NodeStatus['role'] = 'replica'
  cluster: ClusterStatus = { type: 'consul', id: 'LTXD01', term: '7', candidate: true, primary: PRIMARY, replicas: [] }
  refusal: LtxdError | undefined
  readonly asked: string[] = []

  status(): NodeStatus {
    const { role, cluster } = this
    const dirs = { mount: { dir: '/mnt', requests: {} }, data: { dir: '/data' } }
    return { version: '1', nodeId: NODE_ID, pid: 1, startedAtMs: Date.now(), role, cluster, ...dirs, databases: [] }
  }

  unready(): undefined {
    return undefined
  }

  async promote(): Promise<void> {
    this.#hear('promote')
    this.role = 'primary'
  }

  async handoff(node: string): Promise<void> {
    this.#hear(`handoff ${node}`)
    this.role = 'replica'
  }

  #hear(what: string): void {
    this.asked.push(what)
    if (this.refusal !== undefined) throw this.refusal
  }
}

let cwd: string
let data: string
let peer: Peer
let api: Api

beforeEach(async () => {
  cwd = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-roles-')))
  data = join(cwd, 'data')
  await mkdir(data)
  peer = new Peer()
  const logger = createLogger({ level: 'silent', format: 'json' })
  api = await startApi({ http: { host: '127.0.0.1', port: 0 }, dataDir: data, source: peer, logger })
})

afterEach(async () => {
  await api.close()
  await rm(cwd, { recursive: true })
})

const run = (...args: string[]) => ltxd(args, { cwd })

describe('promote', () => {
  test('finds the node by its data directory and prints that it leads', async () => {
    expect(await run('promote', '--data', data)).toEqual({
      code: 0,
      stdout: `node ${NODE_ID} leads, term 7\n`,
      stderr: '',
    })
    expect(peer.asked).toEqual(['promote'])
  })

  test('finds the node by its address; a node that leads already still leads', async () => {
    peer.role = 'primary'
    const { code, stdout } = await run('promote', '--http', new URL(api.url).host, '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({ nodeId: NODE_ID, role: 'primary', term: '7' })
    expect(peer.asked).toEqual([])
  })

  test('that the node rejects is exit code 1, with the node’s message', async () => {
    peer.refusal = new LtxdError('NOT_A_CANDIDATE', 'this node is no candidate: set lease.candidate to true')
    expect(await run('promote', '--data', data)).toEqual({
      code: 1,
      stdout: '',
      stderr: 'ltxd: this node is no candidate: set lease.candidate to true\n',
    })
  })

  test('without an answer in time is exit code 1, and says that the outcome is unknown', async () => {
    peer.promote = () => new Promise(() => {})
    const { code, stderr } = await run('promote', '--data', data, '--timeout', '100ms')
    expect(stderr).toContain('did not answer the request (no answer within 100 ms)')
    expect(stderr).toContain('see "ltxd status"')
    expect(code).toBe(1)
  })

  test('of a node that is not running is exit code 1', async () => {
    const { url } = api
    await api.close()
    const byDirectory = await run('promote', '--data', data)
    expect(byDirectory).toMatchObject({ code: 1, stdout: '' })
    expect(byDirectory.stderr).toContain(`no node is running on the data directory ${data}`)
    const byAddress = await run('promote', '--http', new URL(url).host)
    expect(byAddress).toMatchObject({ code: 1, stdout: '' })
    expect(byAddress.stderr).toContain(`no node answers at ${url} (ECONNREFUSED)`)
  })
})

describe('handoff', () => {
  test('names the replica that takes the lead', async () => {
    peer.role = 'primary'
    expect(await run('handoff', 'node-c', '--data', data)).toEqual({
      code: 0,
      stdout: `node ${NODE_ID} has handed the lead to node-c\n`,
      stderr: '',
    })
    expect(peer.asked).toEqual(['handoff node-c'])
  })

  test('to an unknown replica is exit code 1, with the primary’s message', async () => {
    peer.role = 'primary'
    peer.refusal = new LtxdError('NO_SUCH_REPLICA', 'no replica node-x is connected')
    expect(await run('handoff', 'node-x', '--data', data)).toMatchObject({
      code: 1,
      stderr: 'ltxd: no replica node-x is connected\n',
    })
  })

  test('sent to a replica is an error that names the primary', async () => {
    const { code, stderr } = await run('handoff', 'node-c', '--data', data)
    expect(stderr).toBe('ltxd: this node is not the primary: send the request to node-b at http://127.0.0.1:9\n')
    expect(code).toBe(1)
    expect(peer.asked).toEqual([])
  })

  test('without a node is wrong usage', async () => {
    expect(await run('handoff', '--data', data)).toMatchObject({ code: 2, stdout: '' })
  })
})

test.each(['soon', '0', '6m', '-1s'])('a timeout of %j is wrong usage', async (timeout) => {
  const { code, stderr } = await run('promote', '--data', data, `--timeout=${timeout}`)
  expect(stderr).toContain(`ltxd: --timeout "${timeout}" is not valid`)
  expect(code).toBe(2)
  expect(peer.asked).toEqual([])
})

test('status of a primary and of a replica shows the cluster', async () => {
  const { primary: _, ...cluster } = peer.cluster
  peer.cluster = { ...peer.cluster, connected: true, lagMs: 3 }
  const replica = await run('status', '--data', data)
  expect(replica.stdout).toMatch(/^cluster LTXD01, consul, term 7, candidate$/m)
  expect(replica.stdout).toMatch(/^primary node-b \(0+cd\) at http:\/\/127\.0\.0\.1:9, connected, 3 ms behind$/m)
  peer.role = 'primary'
  const other = { nodeId: PRIMARY.nodeId, hostname: 'node-b', connectedAtMs: Date.now(), behind: 1, positions: {} }
  peer.cluster = { ...cluster, leaseRemainingMs: 9000, replicas: [other] }
  const leading = await run('status', '--data', data)
  expect(leading.stdout).toMatch(/^lease {3}expires in 9\.0 s/m)
  expect(leading.stdout).toMatch(/^node-b +0+cd +1 transaction +for \d+ m?s$/m)
  const asJson = JSON.parse((await run('status', '--data', data, '--json')).stdout) as NodeStatus
  expect(asJson.cluster).toEqual(peer.cluster)
})
