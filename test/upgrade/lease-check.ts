/** Checks a node of this build against a lease record that an earlier version wrote. */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { z } from 'zod'
import { ConsulServer } from '../harness/consul-server.ts'
import { type Fixture, type LeaseFacts, unpack } from './fixture.ts'
import { commits, type Left, serves, shipsAndRestores } from './lives.ts'
import { Station } from './station.ts'

/** The part of a record that the checks need. */
const record = z.object({ term: z.string().transform(BigInt), ttlMs: z.int(), state: z.string() })
const session = z.object({ ID: z.string() })

interface Scene {
  readonly consul: ConsulServer
  readonly lease: LeaseFacts
  readonly left: Left
  /** Starts a node with the data directory of that name, or with an empty one. */
  readonly start: (hostname: string) => Promise<Station>
}

/** The holder is dead: its replica waits for the record's TTL, and takes over in a later term. */
export async function checkHeldLease(fixture: Fixture, lease: LeaseFacts, dir: string): Promise<void> {
  await withScene(fixture, lease, dir, async ({ consul, left, start }) => {
    const found = await recordIn(consul, lease)
    const startedMs = performance.now()
    await using station = await start(lease.nodes[1] ?? '')
    const { cluster } = await station.leads()
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(found.ttlMs)
    expect(BigInt(cluster?.term ?? 0)).toBeGreaterThan(found.term)
    expect((await recordIn(consul, lease)).term).toBe(BigInt(cluster?.term ?? 0))
    await serves(station, left)
    await shipsAndRestores(station, left, await commits(station, left))
  })
}

/**
 * Everything that was committed is in the backup: an empty node leads without waiting for the record's TTL, which is
 * longer than the test. After it leads a node of the fixture, which lacks the last transaction.
 */
export async function checkReleasedLease(fixture: Fixture, lease: LeaseFacts, dir: string): Promise<void> {
  await withScene(fixture, lease, dir, async ({ consul, left, start }) => {
    const found = await recordIn(consul, lease)
    let now
    {
      await using station = await start('newcomer')
      const { cluster } = await station.leads()
      expect(BigInt(cluster?.term ?? 0)).toBe(found.term + 1n)
      await serves(station, left)
      now = await commits(station, left)
      await shipsAndRestores(station, left, now)
      await station.stop()
    }
    expect(await recordIn(consul, lease)).toMatchObject({ term: found.term + 1n, state: 'released' })
    await using station = await start(lease.nodes[0] ?? '')
    const { cluster } = await station.leads()
    expect(BigInt(cluster?.term ?? 0)).toBe(found.term + 2n)
    expect(await station.contents(left.databases.map(({ name }) => name))).toEqual(now)
    await station.stop()
  })
}

async function withScene(
  fixture: Fixture,
  lease: LeaseFacts,
  dir: string,
  run: (scene: Scene) => Promise<void>,
): Promise<void> {
  await unpack(fixture, lease.archive, dir)
  const consul = await ConsulServer.start()
  try {
    await put(consul, lease)
    const backup = `file://${join(dir, 'backup')}`
    const start = (hostname: string) => {
      const data = join(dir, hostname)
      mkdirSync(data, { recursive: true })
      const consulAt = `consul: { url: "${consul.url}", key: ${lease.key} }`
      return Station.start({ data, backup, config: `lease: { hostname: ${hostname}, ttl: 3s, ${consulAt} }\n` })
    }
    const left = { backup, databases: [lease.database], dropped: [] }
    await run({ consul, lease, left, start })
  } finally {
    await consul.stop()
  }
}

/** Writes the record with its flags, and locks it with a session, as the earlier version did. */
async function put(consul: ConsulServer, { key, value, flags, locked }: LeaseFacts): Promise<void> {
  const url = new URL(`${consul.url}/v1/kv/${key}?flags=${flags}`)
  if (locked) {
    const response = await fetch(`${consul.url}/v1/session/create`, { method: 'PUT', body: '{"TTL":"10s"}' })
    url.searchParams.set('acquire', session.parse(await response.json()).ID)
  }
  const response = await fetch(url, { method: 'PUT', body: value })
  expect(await response.text()).toBe('true')
}

async function recordIn(consul: ConsulServer, { key }: LeaseFacts): Promise<z.output<typeof record>> {
  return record.parse(JSON.parse((await consul.get(key)) ?? ''))
}
