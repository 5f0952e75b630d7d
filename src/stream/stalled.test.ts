import { existsSync, readdirSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { TestPrimary } from './testing/primary.ts'
import { RawReplica } from './testing/raw-replica.ts'
import { TestReplica } from './testing/replica.ts'
import { encodeReplicaMessage, PROTOCOL_VERSION } from './wire/messages.ts'

vi.setConfig({ testTimeout: 120_000 })

const directory = temporaryDirectories()

/** Sends that it is alive, and reads nothing. */
function stalledReplica(port: number, i: number): RawReplica {
  const replica = new RawReplica(port)
  const about = { protocol: PROTOCOL_VERSION, hostname: `stalled-${i}`, url: 'http://x', term: 0n }
  replica.request.write(encodeReplicaMessage({ type: 'hello', nodeId: i.toString(16).padStart(16, '0'), ...about }))
  replica.request.write(encodeReplicaMessage({ type: 'positions', positions: [], complete: true }))
  return replica
}

function temporaryBytes(parent: string): number {
  if (!existsSync(parent)) return 0
  const names = readdirSync(parent, { recursive: true, encoding: 'utf8' })
  return names.reduce((sum, name) => sum + (statSync(`${parent}/${name}`, { throwIfNoEntry: false })?.size ?? 0), 0)
}

test('twenty replicas that take nothing share one snapshot, are bounded in memory and on disk, and are cut off, each with one line', async () => {
  const replicas = 20
  const node = new TestPrimary(await directory(), { stream: { stalledMs: 3_000 } })
  await node.listen()
  const a = node.create('a.db')
  a.commit(6, 1_000_000)
  const databaseBytes = a.image.length
  const descriptors = () => readdirSync('/proc/self/fd').length
  const before = descriptors()
  const stalled = Array.from({ length: replicas }, (_, i) => stalledReplica(node.port, i + 1))
  const memoryBytes = () => process.memoryUsage().arrayBuffers
  const memoryBefore = memoryBytes()
  const most = { streams: 0, temporaryBytes: 0, descriptors: 0, memoryBytes: 0 }
  for (let beats = 0; most.streams < replicas || node.server.replicas().length > 0; beats++) {
    if (beats % 5 === 0) for (const replica of stalled) replica.request.write(encodeReplicaMessage({ type: 'alive' }))
    if (beats < 10) a.commit(1, 10_000)
    most.streams = Math.max(most.streams, node.server.replicas().length)
    most.temporaryBytes = Math.max(most.temporaryBytes, temporaryBytes(node.temporaryParent))
    most.descriptors = Math.max(most.descriptors, descriptors())
    most.memoryBytes = Math.max(most.memoryBytes, memoryBytes() - memoryBefore)
    await sleep(100)
  }
  // A copy of the file, and its encoded form.
  expect(most.temporaryBytes).toBeLessThan(2.5 * databaseBytes)
  // Both ends of each connection, and a file that it reads.
  expect(most.descriptors - before).toBeLessThan(3 * replicas + 30)
  // What each connection holds back, and the pages of the one image. Not the window of each replica.
  expect(most.memoryBytes).toBeLessThan(replicas * (2 << 20) + 10 * databaseBytes)
  expect(node.lines.filter((line) => line.includes('has taken nothing'))).toHaveLength(replicas)
  for (const replica of stalled) replica.destroy()

  const quick = new TestReplica()
  const client = quick.follow(node.address)
  await vi.waitUntil(() => quick.equals(a), { timeout: 60_000 })
  await client.stop()
  await vi.waitUntil(() => temporaryBytes(node.temporaryParent) === 0, { timeout: 60_000 })
  await node.close()
})
