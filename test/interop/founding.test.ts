import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { ConsulLease } from '../../src/cluster/lease/consul-lease.ts'
import { ClusterMismatchError } from '../../src/cluster/lease/errors.ts'
import type { LeaseRecord } from '../../src/cluster/lease/lease.ts'
import { LeaseWrites } from '../../src/cluster/lease-writes.ts'
import { INITIAL } from '../../src/cluster/role/role-state.ts'
import { previousTerms } from '../../src/cluster/role/succession.ts'
import { Troubles } from '../../src/cluster/troubles.ts'
import { createLogger } from '../../src/util/log.ts'
import { ConsulServer } from '../harness/consul-server.ts'
import { CuttingProxy } from '../harness/cutting-proxy.ts'
import { until } from '../harness/wait.ts'
import { holderAddress } from './lease-holder.ts'

/**
 * What a lease in a real Consul writes when its record is made: the record, the sign that there is a cluster, and the
 * end of what nodes said while there was none. All of it, or nothing.
 */

const TTL = 10_000
const RACES = 20
/** More than the operations of one transaction. */
const MANY = 100
const [A, B] = ['a'.repeat(16), 'b'.repeat(16)]

if (findTool('consul') === undefined && process.env.CI === 'true') throw new Error('consul is not installed')

describe.skipIf(findTool('consul') === undefined)('a record in Consul', () => {
  let consul: ConsulServer
  let leases: ConsulLease[] = []
  let keys = 0
  let key = ''

  beforeAll(async () => {
    consul = await ConsulServer.start({ acl: true })
  })
  afterAll(() => consul.stop())
  beforeEach(() => (key = `test/founding-${++keys}`))
  afterEach(async () => {
    await Promise.all(leases.map((lease) => lease.close()))
    leases = []
  })

  function makeLease(url = consul.url): ConsulLease {
    const lease = new ConsulLease({ url, key, ttlMs: TTL, sessionName: 'founding' })
    leases.push(lease)
    return lease
  }

  async function publish(count: number): Promise<void> {
    const lease = makeLease()
    for (let n = 0; n < count; n++) await lease.publish(holderAddress(n).nodeId, Buffer.from('said'), 'vacant')
  }

  interface Item {
    readonly Key: string
    readonly ModifyIndex: number
  }

  /** The key of the lease and all below it, as seen at one moment. */
  async function items(): Promise<readonly Item[]> {
    const response = await fetch(`${consul.url}/v1/kv/${key}?recurse&consistent`)
    return response.status === 404 ? [] : ((await response.json()) as Item[])
  }

  async function expectFoundedAtOnce(clusterId: string): Promise<void> {
    const found = await items()
    expect(found.map((item) => item.Key)).toEqual([key, `${key}/founded`])
    expect(new Set(found.map(({ ModifyIndex }) => ModifyIndex)).size).toBe(1)
    expect(await consul.get(`${key}/founded`)).toBe(clusterId)
  }

  test('comes with the sign that there is a cluster, and without what nodes have said, in one transaction', async () => {
    await publish(MANY)
    const outcome = await makeLease().acquire(makeRecord(1, A), undefined)
    expect(outcome).toMatchObject({ kind: 'done', view: { record: { clusterId: A } } })
    await expectFoundedAtOnce(A)
  })

  test('that is made anew by its holder does so too', async () => {
    const lease = makeLease()
    await lease.acquire(makeRecord(1, A), undefined)
    await consul.delete(key)
    await consul.delete(`${key}/founded`)
    await publish(2)
    expect((await lease.renew(makeRecord(1, A, 1))).kind).toBe('done')
    await expectFoundedAtOnce(A)
  })

  test('that is taken over keeps what nodes said in the election, and brings the sign if it is not there', async () => {
    const lease = makeLease()
    const { view } = await lease.acquire(makeRecord(1, A), undefined)
    await consul.put(`${key}/founded`, B)
    await lease.publish('a', Buffer.from('of an election'), 'always')
    const over = view.kind === 'record' ? view.version : undefined
    expect((await makeLease().acquire(makeRecord(2, A, 0, 2n), over)).kind).toBe('done')
    expect(await consul.get(`${key}/founded`)).toBe(A)
    expect(await consul.get(`${key}/candidates/a`)).toBe('of an election')
  })

  test('of two nodes that found a cluster at once is one’s, and so is the sign', async () => {
    const pair = [makeLease(), makeLease()] as const
    for (let round = 0; round < RACES; round++) {
      for (const { Key } of await items()) await consul.delete(Key)
      const outcomes = await Promise.all(pair.map((lease, i) => lease.acquire(makeRecord(i, [A, B][i]), undefined)))
      expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['done', 'lost'])
      const clusterId = outcomes[0]?.kind === 'done' ? A : B
      for (const { view } of outcomes) expect(view).toMatchObject({ kind: 'record', record: { clusterId } })
      await expectFoundedAtOnce(clusterId)
    }
  })

  test('counts as made when the answer of its transaction is lost', async () => {
    await publish(1)
    const proxy = await CuttingProxy.start(consul.port)
    try {
      const acquired = await held(proxy, A)
      proxy.cuts = { times: 1, afterBytes: 0 }
      proxy.release()
      expect((await acquired.outcome).kind).toBe('done')
      expect(proxy.cutCount).toBe(1)
      await expectFoundedAtOnce(A)
    } finally {
      await proxy.stop()
    }
  })

  test('leaves everything as it was when its transaction does not arrive', async () => {
    await publish(1)
    const proxy = await CuttingProxy.start(consul.port)
    const { outcome } = await held(proxy, A)
    await proxy.stop()
    await expect(outcome).rejects.toThrow(/Consul at .* cannot be reached/)
    expect((await items()).map((item) => item.Key)).toEqual([`${key}/candidates/${holderAddress(0).nodeId}`])
  })

  test('of a node that was late replaces nothing of the one that founded meanwhile', async () => {
    const proxy = await CuttingProxy.start(consul.port)
    try {
      const { outcome } = await held(proxy, A)
      expect((await makeLease().acquire(makeRecord(2, B), undefined)).kind).toBe('done')
      proxy.release()
      expect(await outcome).toMatchObject({ kind: 'lost', view: { record: { clusterId: B } } })
      await expectFoundedAtOnce(B)
    } finally {
      await proxy.stop()
    }
  })

  test('is not made where the sign of another cluster is: the node with data says which', async () => {
    await consul.put(`${key}/founded`, A)
    const outcome = await makeLease().acquire(makeRecord(1, B), undefined)
    expect(outcome).toEqual({ kind: 'lost', view: { kind: 'vacant', heard: true, founded: A } })
    expect((await items()).map((item) => item.Key)).toEqual([`${key}/founded`])
    const { event } = await acquire(makeLease(), B)
    expect(event).toMatchObject({ type: 'not-acquired', view: { kind: 'foreign' } })
    expect(event.type === 'not-acquired' && event.view.kind === 'foreign' && event.view.error).toBeInstanceOf(
      ClusterMismatchError,
    )
  })

  test('is made without the sign by a token that may write only the key, and the log says so', async () => {
    const token = await consul.token(`key_prefix "${key}/" { policy = "deny" }`)
    const { event, log } = await acquire(makeLease(consul.url.replace('//', `//:${token}@`)), A)
    expect(event).toMatchObject({ type: 'acquired' })
    expect((await items()).map((item) => item.Key)).toEqual([key])
    expect(log).toMatch(/the lease could not be marked as founded: its token may not write below its key/)
  })

  test('is not made by a token that may only read, and the message says what to check', async () => {
    const token = await consul.token(`key_prefix "${key}" { policy = "read" }`)
    const { event } = await acquire(makeLease(consul.url.replace('//', `//:${token}@`)), A)
    const reason = event.type === 'acquire-failed' ? event.reason : ''
    expect(reason).toMatch(/denies access \(.*Permission denied.*\): check the token in lease\.consul\.url/)
    expect(await items()).toEqual([])
    // Nor does it publish how far its node is in silence.
    const lease = makeLease(consul.url.replace('//', `//:${token}@`))
    await expect(lease.publish('a', Buffer.from('said'), 'vacant')).rejects.toThrow(/denies access/)
  })

  /** An acquisition through a proxy that holds its transaction. */
  async function held(proxy: CuttingProxy, clusterId: string) {
    proxy.hold(/^PUT \/v1\/txn/)
    const outcome = makeLease(`http://127.0.0.1:${proxy.port}`).acquire(makeRecord(1, clusterId), undefined)
    outcome.catch(() => {})
    await until('the transaction', 60_000, () => proxy.holdsWhole(/^PUT \/v1\/txn/))
    return { outcome }
  }

  /** As a node does, with its log. */
  async function acquire(lease: ConsulLease, clusterId: string) {
    const lines: string[] = []
    const logger = createLogger({ level: 'info', format: 'text', write: (line) => lines.push(line) })
    const writes = new LeaseWrites({
      ...{ lease, self: holderAddress(1), logger, troubles: new Troubles(logger, () => 0) },
      readClusterId: () => clusterId,
      ledTerm: () => 0n,
    })
    const rules = { self: holderAddress(1), uploadWindowMs: 0 } as never
    const view = { kind: 'vacant' } as const
    const previous = previousTerms(INITIAL, { view, sinceMs: 0 }, rules, { ledTerm: 0n, knownTerm: 0n } as never)
    const event = await writes.acquire({ kind: 'acquire', over: undefined, record: undefined, previous }, 0n)
    return { event, log: lines.join('') }
  }
})

function makeRecord(n: number, clusterId = A, renewals = 0, term = 1n): LeaseRecord {
  return { term, holder: holderAddress(n), state: 'held', clusterId, ttlMs: TTL, renewals }
}
