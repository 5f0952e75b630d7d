import { expect, test } from 'vitest'
import { Random } from '../../../test/harness/random.ts'
import type { Checksum, Position, TXID } from '../../ltx/format/types.ts'
import { Pace, PACE_MS } from './pace.ts'

const MAX_LAG_MS = 2_000
const SEED = Number(process.env['LTXD_SEED'] ?? Date.now() % 1_000_000)

function at(txid: number): Position {
  return { txid: BigInt(Math.floor(txid)) as TXID, checksum: 0n as Checksum }
}

/** A primary that commits as fast as it may, and replicas that apply at their own speeds, under a simulated clock. */
class Simulation {
  nowMs = 0
  committed = 1
  readonly committedAtMs: number[] = [0]
  intervalMs = 0
  readonly intervalsMs: number[] = []
  readonly replicas: { applied: number; perMs: number; isReceiving: boolean; isConnected: boolean }[] = []
  readonly pace = new Pace(MAX_LAG_MS, ({ intervalMs }) => void (this.intervalMs = intervalMs))
  readonly #ownMs: number
  #freeAtMs = 0
  readonly #feeds: { readonly sent: { readonly acknowledged: Position | undefined } }[] = []

  constructor(ownMs: number) {
    this.#ownMs = ownMs
  }

  replica(perMs: number) {
    const replica = { applied: this.committed, perMs, isReceiving: false, isConnected: true }
    this.replicas.push(replica)
    this.#feeds.push({
      sent: {
        get acknowledged() {
          return replica.isReceiving ? undefined : at(replica.applied)
        },
      },
    })
    return replica
  }

  /** How long ago the oldest transaction was committed that the replica lacks. */
  lagMs(applied: number): number {
    return applied >= this.committed ? 0 : this.nowMs - (this.committedAtMs[Math.floor(applied)] as number)
  }

  run(forMs: number): void {
    for (const untilMs = this.nowMs + forMs; this.nowMs < untilMs;) {
      this.nowMs += PACE_MS
      for (; this.#freeAtMs < this.nowMs; this.#freeAtMs += Math.max(this.#ownMs, this.intervalMs)) {
        this.committed++
        this.committedAtMs.push(this.#freeAtMs)
      }
      for (const replica of this.replicas) {
        replica.applied = Math.min(this.committed, replica.applied + replica.perMs * PACE_MS)
      }
      const followers = this.#feeds.map((feed, i) => ({ name: `${i}`, feed: () => feed }))
      const connected = followers.filter((_, i) => this.replicas[i]?.isConnected)
      this.pace.measure(new Map([['a.db', at(this.committed)]]), connected, this.nowMs)
      this.intervalsMs.push(this.intervalMs)
    }
  }
}

test(`the lag of a replica that applies slower than the primary commits stays at the bound (LTXD_SEED=${SEED})`, () => {
  const random = new Random(SEED)
  for (let round = 0; round < 30; round++) {
    const primaryMs = 0.1 * 100 ** random.next()
    const simulation = new Simulation(primaryMs)
    const slower = 1.1 + random.next() * 7
    const replica = simulation.replica(1 / (primaryMs * slower))
    simulation.run(10_000)
    let most = 0
    for (let i = 0; i < 100; i++) {
      simulation.run(200)
      most = Math.max(most, simulation.lagMs(replica.applied))
    }
    expect(most, `${primaryMs} ms and ${slower} times as slow`).toBeLessThan(1.5 * MAX_LAG_MS)
    // It is slowed down by no more than needed.
    const before = replica.applied
    simulation.run(10_000)
    expect(replica.applied - before, `${primaryMs} ms and ${slower} times as slow`).toBeGreaterThan(
      replica.perMs * 10_000 * 0.7,
    )
  }
})

test('a replica that keeps up slows nothing down', () => {
  const simulation = new Simulation(1)
  simulation.replica(2)
  simulation.run(20_000)
  expect(Math.max(...simulation.intervalsMs)).toBe(0)
})

test('a replica that acknowledges nothing slows commits down to one a second, and only for ten seconds', () => {
  const simulation = new Simulation(1)
  const replica = simulation.replica(2)
  simulation.run(5_000)
  replica.perMs = 0
  simulation.run(8_000)
  expect(simulation.intervalMs).toBe(1_000)
  expect(Math.max(...simulation.intervalsMs)).toBe(1_000)
  simulation.run(3_000)
  expect(simulation.intervalMs).toBe(0)
  // It counts again as soon as it goes on.
  replica.perMs = 0.5
  simulation.run(1_000)
  expect(simulation.intervalMs).toBeGreaterThan(0)
})

test('a replica that is cut off, or gets a snapshot, slows nothing down', () => {
  const simulation = new Simulation(1)
  const [cutOff, resyncing] = [simulation.replica(0.5), simulation.replica(0.5)]
  simulation.run(5_000)
  expect(simulation.intervalMs).toBeGreaterThan(0)
  cutOff.isConnected = false
  resyncing.isReceiving = true
  simulation.run(PACE_MS)
  expect(simulation.intervalMs).toBe(0)
})

test('the slowest of several replicas counts', () => {
  const simulation = new Simulation(1)
  simulation.replica(2)
  const slow = simulation.replica(0.1)
  simulation.replica(0.5)
  simulation.run(30_000)
  expect(simulation.lagMs(slow.applied)).toBeLessThan(1.5 * MAX_LAG_MS)
  expect(simulation.intervalMs).toBeGreaterThan(5)
})
