import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { ConsulLease } from '../../src/cluster/lease/consul-lease.ts'
import type { LeaseOutcome, LeaseRecord, LeaseView } from '../../src/cluster/lease/lease.ts'
import { ConsulServer } from '../harness/consul-server.ts'
import { until } from '../harness/wait.ts'
import { holderAddress, type HolderOptions, LeaseHolder } from './lease-holder.ts'

/**
 * Leases in a real Consul. The processes that hold them are killed and stopped. Needs consul: `infra/setup.sh
 * --test-tools`.
 */

const TTL = 3_000
const RACES = 20

if (findTool('consul') === undefined && process.env.CI === 'true') throw new Error('consul is not installed')

describe.skipIf(findTool('consul') === undefined)('a lease in Consul', () => {
  let consul: ConsulServer
  let holders: LeaseHolder[] = []
  let keys = 0
  let key = ''

  beforeAll(async () => {
    consul = await ConsulServer.start()
  })
  afterAll(() => consul.stop())
  afterEach(async () => {
    consul.thaw()
    const all = holders
    holders = []
    await Promise.all(all.map((holder) => holder.end()))
    for (const each of new Set(all.map((holder) => holder.key))) checkTerms(all.filter((holder) => holder.key === each))
  })

  const freshKey = () => (key = `test/primary-${++keys}`)

  function start(n: number, options: Partial<HolderOptions> = {}): LeaseHolder {
    const holder = new LeaseHolder({ url: consul.url, key, ttlMs: TTL, self: holderAddress(n), ...options })
    holders.push(holder)
    return holder
  }

  /** Starts holders: the first leads, the others follow it. */
  async function startLed(count: number, options: Partial<HolderOptions> = {}): Promise<LeaseHolder[]> {
    freshKey()
    const leader = start(1, options)
    await leader.event('commit')
    const others = Array.from({ length: count - 1 }, (_, i) => start(i + 2, options))
    await Promise.all(others.map((other) => other.event('follow', { text: leader.self.nodeId })))
    return [leader, ...others]
  }

  async function record(): Promise<{ term: string; state: string; holder: { nodeId: string }; renewals: number }> {
    return JSON.parse((await consul.get(key)) ?? '{}') as never
  }

  test('that several processes want at once goes to one, and the others follow it', async () => {
    for (let round = 0; round < 3; round++) {
      freshKey()
      const racers = Array.from({ length: 5 }, (_, i) => start(round * 10 + i + 1))
      await Promise.all(racers.map((racer) => racer.event('settled')))
      const leaders = racers.filter((racer) => racer.of('lead').length > 0)
      expect(leaders).toHaveLength(1)
      const nodeId = leaders[0]?.self.nodeId
      expect((await record()).holder.nodeId).toBe(nodeId)
      for (const racer of racers) if (racer !== leaders[0]) await racer.event('follow', { text: nodeId ?? '' })
    }
  })

  test('of a killed process is taken over after its TTL, and not before', async () => {
    const [leader, follower] = (await startLed(2)) as [LeaseHolder, LeaseHolder]
    const killedMs = nowMs()
    await leader.end()
    const { atMs, term } = await follower.event('lead')
    console.log(`killed: ${Math.round(atMs - killedMs)} ms until the next leads, of a TTL of ${TTL} ms`)
    expect(term).toBe(2)
    // The take-over comes a margin later than the holder's own deadline.
    const deadlineMs = Math.max(...leader.of('extend').map((event) => event.deadlineMs ?? 0))
    expect(atMs).toBeGreaterThan(deadlineMs + TTL / 10)
  })

  test('belongs to exactly one of two after a renewal raced with a take-over', async () => {
    freshKey()
    const leases = [1, 2].map((n) => new ConsulLease({ url: consul.url, key, ttlMs: TTL, sessionName: `race ${n}` }))
    let renewals = 0
    const makeRecord = (n: number, term: bigint): LeaseRecord => ({
      term,
      holder: holderAddress(n),
      state: 'held',
      clusterId: '0'.repeat(16),
      ttlMs: TTL,
      renewals: renewals++,
    })
    const acquired = await leases[0]?.acquire(makeRecord(1, 1n), undefined)
    expect(acquired?.kind).toBe('done')
    let holder = 0
    let takeOvers = 0
    for (let round = 0, term = 1n; round < RACES; round++) {
      const { view } = (await leases[holder]?.renew(makeRecord(holder + 1, term))) as LeaseOutcome
      const [renewal, takeOver] = await Promise.all([
        leases[holder]?.renew(makeRecord(holder + 1, term)),
        leases[1 - holder]?.acquire(makeRecord(2 - holder, term + 1n), versionOf(view)),
      ])
      expect([renewal?.kind, takeOver?.kind].sort()).toEqual(['done', 'lost'])
      if (takeOver?.kind !== 'done') continue
      expect(await leases[holder]?.renew(makeRecord(holder + 1, term))).toMatchObject({ kind: 'lost' })
      expect(await leases[holder]?.release(makeRecord(holder + 1, term))).toMatchObject({ kind: 'lost' })
      holder = 1 - holder
      term++
      takeOvers++
      expect(BigInt((await record()).term)).toBe(term)
    }
    console.log(`${RACES} races: ${takeOvers} take-overs, ${RACES - takeOvers} renewals`)
    await Promise.all(leases.map((lease) => lease.close()))
  })

  test('is handed over at once to the named process, although others wait', async () => {
    const [leader, second, third] = (await startLed(3)) as [LeaseHolder, LeaseHolder, LeaseHolder]
    await leader.ask(`handoff ${third.self.nodeId}`)
    await third.event('lead')
    await leader.event('follow', { text: third.self.nodeId })
    await second.event('follow', { text: third.self.nodeId })
    expect(second.of('lead')).toEqual([])
    const lastMs = leader.of('commit').at(-1)?.atMs ?? 0
    const first = await third.event('commit')
    console.log(`handed over: ${Math.round(first.atMs - lastMs)} ms between the last commit here and the first there`)

    await expect(leader.ask(`handoff ${second.self.nodeId}`)).rejects.toThrow(/HANDOFF_REFUSED.*not the primary/)
    await expect(third.ask(`handoff ${third.self.nodeId}`)).rejects.toThrow(/HANDOFF_REFUSED.*already/)
  })

  test('handed over to a node that does not exist is taken by another after a TTL', async () => {
    const [leader, second] = (await startLed(2)) as [LeaseHolder, LeaseHolder]
    await expect(leader.ask(`handoff ${holderAddress(99).nodeId}`)).rejects.toThrow(/HANDOFF_FAILED/)
    await until('somebody to lead again', 60_000, () => leader.of('lead').length + second.of('lead').length === 2)
  })

  test('is released by a clean stop, so that the next process gets it at once', async () => {
    const [leader, second, third] = (await startLed(3, { successor: holderAddress(3).nodeId })) as [
      LeaseHolder,
      LeaseHolder,
      LeaseHolder,
    ]
    await leader.ask('stop')
    const { atMs } = await third.event('lead')
    expect(second.of('lead')).toEqual([])
    console.log(`stopped: ${Math.round(atMs - (leader.of('commit').at(-1)?.atMs ?? 0))} ms until the next leads`)
    expect((await record()).term).toBe('2')
  })

  test('expires while its holder is frozen, and the holder knows once it continues', async () => {
    const [leader, follower] = (await startLed(2)) as [LeaseHolder, LeaseHolder]
    const from = leader.events.length
    leader.signal('SIGSTOP')
    await follower.event('lead')
    await follower.event('commit')
    leader.signal('SIGCONT')
    await leader.event('step-down', { from })
    await leader.event('follow', { from, text: follower.self.nodeId })
    const back = leader.events.length
    await follower.ask(`handoff ${leader.self.nodeId}`)
    await leader.event('commit', { from: back })
  })

  test('lasts until its deadline when Consul dies, and is renewed when Consul is back', async () => {
    const [leader, follower] = (await startLed(2)) as [LeaseHolder, LeaseHolder]
    await consul.kill()
    const killedMs = nowMs()
    const down = await leader.event('step-down', { text: 'could not be renewed' })
    const deadlineMs = Math.max(...leader.of('extend').map((event) => event.deadlineMs ?? 0))
    expect(down.atMs).toBeGreaterThanOrEqual(deadlineMs)
    expect(leader.of('commit').at(-1)?.atMs).toBeGreaterThan(killedMs)
    const from = [leader.events.length, follower.events.length]
    await consul.run()
    await until('one to lead again', 60_000, () =>
      [leader, follower].some((holder, i) => holder.events.slice(from[i]).some(({ what }) => what === 'lead')),
    )
    for (const holder of [leader, follower]) {
      await holder.event('log', { text: 'can be read again' })
      const lines = holder
        .of('log')
        .filter(({ level, text }) => level === 'warn' && text?.includes('cannot be reached'))
      // One line about reading, for the leader one about writing too, and none for the other attempts.
      expect(lines.length).toBeLessThanOrEqual(2)
    }
  })

  test('survives if Consul is back before the deadline', async () => {
    freshKey()
    const leader = start(1, { ttlMs: 20_000 })
    await leader.event('commit')
    await consul.kill()
    await consul.run()
    const from = leader.events.length
    const { renewals } = await record()
    await until('a renewal', 60_000, async () => (await record()).renewals > renewals)
    expect((await record()).term).toBe('1')
    expect(leader.events.slice(from).map(({ what }) => what)).not.toContain('step-down')
  })

  test('lasts until its deadline when Consul hangs, and writes that arrive late change nothing', async () => {
    const [leader, follower] = (await startLed(2)) as [LeaseHolder, LeaseHolder]
    consul.freeze()
    await leader.event('step-down', { text: 'could not be renewed' })
    // Both notice, and both have requests in flight when Consul continues.
    await leader.event('log', { text: 'did not answer' })
    const from = [leader.events.length, follower.events.length]
    consul.thaw()
    await until('one to lead again', 60_000, () =>
      [leader, follower].some((holder, i) => holder.events.slice(from[i]).some(({ what }) => what === 'lead')),
    )
  })

  test('is written again by its holder if the key is deleted', async () => {
    const [leader, follower] = (await startLed(2)) as [LeaseHolder, LeaseHolder]
    const marks = [leader.events.length, follower.events.length]
    await consul.delete(key)
    await until('the record', 60_000, async () => (await consul.get(key)) !== undefined)
    const { renewals } = await record()
    await until('two more renewals', 60_000, async () => (await record()).renewals >= renewals + 2)
    expect(await record()).toMatchObject({ term: '1', state: 'held', holder: { nodeId: leader.self.nodeId } })
    expect(leader.events.slice(marks[0]).map(({ what }) => what)).not.toContain('step-down')
    expect(follower.of('lead')).toEqual([])
  })

  test('outlives its session', async () => {
    const [leader] = (await startLed(1)) as [LeaseHolder]
    const sessions = (await (await fetch(`${consul.url}/v1/session/list`)).json()) as { ID: string; Name: string }[]
    for (const { ID } of sessions) await fetch(`${consul.url}/v1/session/destroy/${ID}`, { method: 'PUT' })
    const { renewals } = await record()
    await until('two renewals', 60_000, async () => (await record()).renewals >= renewals + 2)
    expect(leader.of('lead')).toHaveLength(1)
    expect(leader.of('step-down')).toEqual([])
    const [item] = (await (await fetch(`${consul.url}/v1/kv/${key}`)).json()) as { Session?: string }[]
    expect(item?.Session).toBeDefined()
  })

  test('is not taken while the key has a foreign value, which stays unchanged, and is taken afterwards', async () => {
    freshKey()
    await consul.put(key, '{"leader":"somebody else\'s"}')
    const node = start(1)
    await node.event('idle', { text: 'holds no lease record of ltxd' })
    expect(await consul.get(key)).toContain('somebody else')
    await consul.delete(key)
    await node.event('commit')
    await consul.put(key, 'overwritten')
    await node.event('step-down', { text: 'holds no lease record of ltxd' })
    expect(await consul.get(key)).toBe('overwritten')
  })

  test('keeps what nodes say while it has no record only until it has one again', async () => {
    freshKey()
    const lease = new ConsulLease({ url: consul.url, key, ttlMs: TTL, sessionName: 'a' })
    try {
      const said = async () => (await lease.candidacies()).map((bytes) => Buffer.from(bytes).toString())
      await lease.publish('a', Buffer.from('first'), 'vacant')
      expect(await said()).toEqual(['first'])
      const fixed = { term: 1n, holder: holderAddress(1), state: 'held', ttlMs: TTL, renewals: 0 } as const
      expect((await lease.acquire({ ...fixed, clusterId: 'c'.repeat(16) }, undefined)).kind).toBe('done')
      expect(await said()).toEqual([])
      // A node that is late: it has not seen the record yet.
      await lease.publish('b', Buffer.from('late'), 'vacant')
      await lease.publish('c', Buffer.from('of an election'), 'always')
      expect(await said()).toEqual(['of an election'])
    } finally {
      await lease.close()
    }
  })

  test('of another cluster is rejected', async () => {
    await startLed(1)
    const stranger = start(2, { clusterId: 'f'.repeat(16) })
    await stranger.event('failed', { text: 'CLUSTER_MISMATCH: the lease belongs to cluster' })
    expect(stranger.of('follow')).toEqual([])
  })

  test('is never taken by a node that is not a candidate: it follows and waits', async () => {
    const [leader] = (await startLed(1)) as [LeaseHolder]
    const replica = start(2, { candidate: false })
    await replica.event('follow', { text: leader.self.nodeId })
    await leader.ask('stop')
    await replica.event('idle', { text: 'released' })
    const next = start(3, { historyTerm: 1 })
    await next.event('commit')
    await replica.event('follow', { text: next.self.nodeId })
    expect(replica.of('lead')).toEqual([])
  })

  test('continues the terms of the backup', async () => {
    freshKey()
    const node = start(1, { knownTerm: 41 })
    expect((await node.event('lead')).term).toBe(42)
  })

  test('needs Consul: a node waits for it, and continues once it is there', async () => {
    freshKey()
    await consul.kill()
    const node = start(1)
    await node.event('idle', { text: 'cannot be reached (ECONNREFUSED)' })
    await consul.run()
    await node.event('commit')
  })
})

function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}

function versionOf(view: LeaseView): string | undefined {
  return view.kind === 'record' ? view.version : undefined
}

/**
 * Checks I6 on the clock that all processes share: no commit of a term comes after the first of a later term, or after
 * its own deadline.
 */
function checkTerms(holders: readonly LeaseHolder[]): void {
  const byTerm = new Map<number, { first: number; last: number; nodeIds: Set<string> }>()
  for (const holder of holders) {
    let deadlineMs = 0
    for (const { what, atMs, term = 0, ...event } of holder.events) {
      if (what === 'extend') deadlineMs = event.deadlineMs ?? 0
      if (what !== 'commit') continue
      expect(atMs).toBeLessThan(deadlineMs)
      const seen = byTerm.get(term)
      if (seen === undefined) byTerm.set(term, { first: atMs, last: atMs, nodeIds: new Set([holder.self.nodeId]) })
      else {
        seen.first = Math.min(seen.first, atMs)
        seen.last = Math.max(seen.last, atMs)
        seen.nodeIds.add(holder.self.nodeId)
      }
    }
  }
  const terms = [...byTerm].sort(([a], [b]) => a - b)
  for (const [i, [term, { first, nodeIds }]] of terms.entries()) {
    expect(nodeIds.size, `holders in term ${term}`).toBe(1)
    const before = terms[i - 1]?.[1].last ?? 0
    expect(first, `first commit in term ${term}`).toBeGreaterThan(before)
  }
}
