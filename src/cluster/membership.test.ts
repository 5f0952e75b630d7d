import { expect, test } from 'vitest'
import { until } from '../../test/harness/wait.ts'
import { createLogger } from '../util/log.ts'
import type { NodeAddress } from './lease/lease.ts'
import { StaticLease, type StaticLeaseOptions, UNKNOWN_NODE_ID } from './lease/static-lease.ts'
import { Membership } from './membership.ts'
import type { Drained, RoleHost } from './role-host.ts'

/** These tests use static leases, which need no service. test/interop/consul.test.ts tests leases in Consul. */

const SELF: NodeAddress = { nodeId: '00000000000000ab', hostname: 'a', url: 'http://127.0.0.1:1' }

class Host implements RoleHost {
  readonly calls: string[] = []
  deadlineNs: bigint | undefined
  failures = 0
  known = 0n

  knownTerm = () => this.known
  unfit = () => undefined
  follow = (primary: NodeAddress, term: bigint) => this.#call(`follow ${primary.nodeId} ${primary.url} ${term}`)
  idle = (reason: string) => this.#call(`idle ${reason}`)
  lead = (term: bigint) => this.#call(`lead ${term}`)
  stepDown = () => this.#call('step down')
  extend = (deadlineNs: bigint) => void (this.deadlineNs = deadlineNs)
  ledTerm = () => 0n
  historyTerm = () => this.known
  knownNodes = () => []
  stand = () => Promise.resolve(new Map<bigint, bigint>())
  leave = () => Promise.resolve({ told: false, safe: true })
  async drain(): Promise<Drained> {
    await this.#call('drain')
    return { kept: 'elsewhere' }
  }

  async #call(call: string): Promise<void> {
    this.calls.push(call)
    await Promise.resolve()
    if (this.failures-- > 0) throw new Error('the disk is full')
  }
}

function member(options: StaticLeaseOptions, host: Host) {
  let clusterId: string | undefined
  const lines: string[] = []
  const membership = new Membership({
    lease: new StaticLease(options),
    host,
    self: SELF,
    candidate: options.primary === 'self',
    demoteMs: 10,
    uploadWindowMs: 0,
    hasBackup: false,
    found: 'wait',
    readClusterId: () => clusterId,
    writeClusterId: (id) => (clusterId = id),
    logger: createLogger({ level: 'info', format: 'text', write: (line) => lines.push(line) }),
  })
  return { membership, lines, clusterId: () => clusterId }
}

function store(term = 0n) {
  return { read: () => term }
}

test('a static primary leads without a deadline, in the term that it led in before', async () => {
  for (const led of [0n, 1n]) {
    const term = store(led)
    const host = new Host()
    const { membership, clusterId } = member({ primary: 'self', self: SELF, term }, host)
    membership.start()
    await membership.roleTaken
    expect(host.deadlineNs).toBe(2n ** 63n - 1n)
    expect(clusterId()).toMatch(/^[0-9a-f]{16}$/)
    expect(membership.status()).toMatchObject({ role: 'primary', term: 1n, primary: SELF, clusterId: clusterId() })
    expect(membership.status()).not.toHaveProperty('deadlineMs')
    await expect(membership.handoff('00000000000000cd')).rejects.toThrow(/fixed by configuration/)
    await membership.stop()
    expect(host.calls).toEqual(['lead 1', 'drain', 'step down'])
  }
})

test('a static primary that has followed another one leads in a later term', async () => {
  const host = new Host()
  host.known = 4n
  const { membership } = member({ primary: 'self', self: SELF, term: store(2n) }, host)
  membership.start()
  await membership.roleTaken
  expect(host.calls).toEqual(['lead 5'])
  await membership.stop()
})

test('a static replica follows the configured address, and never leads', async () => {
  const host = new Host()
  const primary = { hostname: 'b', url: 'http://127.0.0.1:2' }
  const { membership } = member({ primary }, host)
  membership.start()
  await membership.roleTaken
  expect(membership.status()).toMatchObject({ role: 'replica', primary: { ...primary, nodeId: UNKNOWN_NODE_ID } })
  await expect(membership.handoff(SELF.nodeId)).rejects.toThrow(/fixed by configuration/)
  await membership.stop()
  expect(host.calls).toEqual([`follow ${UNKNOWN_NODE_ID} http://127.0.0.1:2 0`])
})

test('a failed take-over is undone, logged once, and retried', async () => {
  const host = new Host()
  host.failures = 1
  const { membership, lines } = member({ primary: 'self', self: SELF, term: store() }, host)
  membership.start()
  await until('leadership', 60_000, () => membership.status().role === 'primary')
  expect(host.calls.slice(0, 2)).toEqual(['lead 1', 'step down'])
  // Nothing was done in term 1, but only a node that led in a term leads in it again.
  expect(host.calls.at(-1)).toBe('lead 2')
  expect(lines.filter((line) => line.includes('the disk is full') && line.includes('warn'))).toHaveLength(1)
  expect(membership.status().lastError).toBeUndefined()
  await membership.stop()
})

test('a failure to follow is retried', async () => {
  const host = new Host()
  host.failures = 1
  const { membership } = member({ primary: { hostname: 'b', url: 'http://127.0.0.1:2' } }, host)
  membership.start()
  await membership.roleTaken
  expect(host.calls).toHaveLength(2)
  await membership.stop()
})

test('a membership that has not started can stop', async () => {
  const { membership } = member({ primary: 'self', self: SELF, term: store() }, new Host())
  await membership.stop()
  expect(membership.status().role).toBe('idle')
})
