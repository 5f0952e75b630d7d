/** Lease records in Consul, each with the data directories of the cluster's nodes and their backup. */

import { cpSync, mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { ConsulServer } from '../../harness/consul-server.ts'
import { until } from '../../harness/wait.ts'
import { type LeaseFacts, pack } from '../fixture.ts'
import { DEADLINE_MS, Station } from '../station.ts'
import { Chronicle } from './chronicle.ts'
import { create, insert } from './history.ts'

const KEY = 'ltxd/primary'
const NAME = 'app.db'
const NODES = ['node-1', 'node-2'] as const

/** Short, because the test waits for its end. */
const HELD_TTL = '3s'
/** So long that a test that waits for its end fails. */
const RELEASED_TTL = '1h'

const entries = z.array(z.object({ Value: z.base64(), Flags: z.int(), Session: z.string().optional() })).length(1)

/** Writes an archive each into `dir`. */
export async function writeLeases(dir: string): Promise<LeaseFacts[]> {
  return [await writeLease(dir, 'held', HELD_TTL), await writeLease(dir, 'released', RELEASED_TTL)]
}

async function writeLease(dir: string, state: LeaseFacts['state'], ttl: string): Promise<LeaseFacts> {
  const place = mkdtempSync(join(tmpdir(), 'ltxd-fixture-'))
  mkdirSync(join(place, 'backup'))
  const backup = `file://${join(place, 'backup')}`
  const consul = await ConsulServer.start()
  try {
    const start = (hostname: string) => {
      const consulAt = `consul: { url: "${consul.url}", key: ${KEY} }`
      const config = `lease: { hostname: ${hostname}, ttl: ${ttl}, demote-delay: 1s, ${consulAt} }\n`
      return Station.start({ data: join(place, hostname), backup, config })
    }
    await using first = await start(NODES[0])
    await first.leads()
    const chronicle = new Chronicle(first, NAME)
    const client = await first.open(NAME)
    await create(client, 'WAL')
    await chronicle.note()
    await using second = await start(NODES[1])
    await chronicle.after(client, insert(4, 9))
    const database = await chronicle.facts(backup)
    await until('the same on the replica', DEADLINE_MS, async () => {
      const there = (await second.status()).databases.find(({ name }) => name === NAME)
      return there?.position === (await first.database(NAME)).position && there.replication?.state === 'following'
    })
    // The holder ends last, so that no node takes over.
    if (state === 'held') for (const { node } of [second, first]) await node.killTree()
    else for (const station of [second, first]) await station.stop()
    const lease = await readLease(consul)
    const archive = `lease-${state}.tar.gz`
    const copy = mkdtempSync(join(tmpdir(), 'ltxd-pack-'))
    for (const name of [...NODES, 'backup']) {
      cpSync(join(place, name), join(copy, name), { recursive: true, preserveTimestamps: true })
    }
    await pack(copy, join(dir, archive))
    return { state, key: KEY, ...lease, archive, nodes: [...NODES], database }
  } finally {
    await consul.stop()
  }
}

async function readLease(consul: ConsulServer): Promise<Pick<LeaseFacts, 'value' | 'flags' | 'locked'>> {
  const response = await fetch(`${consul.url}/v1/kv/${KEY}?consistent`)
  const [entry] = entries.parse(await response.json())
  if (entry === undefined) throw new Error('Consul has no lease record')
  const { Value, Flags, Session } = entry
  return { value: Buffer.from(Value, 'base64').toString(), flags: Flags, locked: Session !== undefined }
}
