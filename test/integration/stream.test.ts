/** Tests of the stream over a bad network. */

import { expect, test } from 'vitest'
import { temporaryDirectories } from '../../src/backup/testing.ts'
import { TestPrimary } from '../../src/stream/testing/primary.ts'
import { TestReplica } from '../../src/stream/testing/replica.ts'
import { until } from '../../src/stream/testing/until.ts'
import { CuttingProxy } from '../harness/cutting-proxy.ts'
import { form, SEED } from '../harness/effort.ts'
import { Random } from '../harness/random.ts'

const directory = temporaryDirectories()

/** The short form cuts after one byte in so many. The seed chooses the first. */
const STRIDE = form(4, 1)
const AT_A_TIME = 8

test(`a connection that is cut after any byte loses nothing and repeats nothing (LTXD_SEED=${SEED})`, async () => {
  const node = new TestPrimary(await directory())
  await node.listen()
  const [known, fresh] = [node.create('known.db'), node.create('fresh.db')]
  known.commit(2)
  const before = new TestReplica()
  before.copy(known)
  known.commit(2)
  const copy = (number: number) => {
    const replica = new TestReplica({ nodeId: number.toString(16).padStart(16, '0') })
    replica.copyOf(before, known.name)
    return replica
  }
  let whole = false
  const cutAt = async (afterBytes: number) => {
    const proxy = await CuttingProxy.start(node.port)
    proxy.cuts = { times: 1, afterBytes, exact: true }
    const replica = copy(afterBytes)
    const client = replica.follow({ ...node.self, url: `http://127.0.0.1:${proxy.port}` }, 1n, 8)
    try {
      await until(`all is there, cut after ${afterBytes} bytes`, () => replica.equals(known) && replica.equals(fresh))
      await until('it knows that', () => replica.caughtUpCount > 0)
      expect(replica.transactions).toEqual(['known.db 4', 'known.db 5'])
      expect(replica.lines.filter((line) => line.includes('could not be applied'))).toEqual([])
      if (proxy.cutCount === 0) whole = true
    } finally {
      await client.stop()
      await proxy.stop()
    }
  }
  try {
    for (let at = SEED % STRIDE; !whole; at += AT_A_TIME * STRIDE) {
      await Promise.all(Array.from({ length: AT_A_TIME }, (_, i) => cutAt(at + i * STRIDE)))
    }
  } finally {
    await node.close()
  }
})

test(`a network that keeps cutting delays a stream and changes nothing in it (LTXD_SEED=${SEED})`, async () => {
  const random = new Random(SEED)
  const node = new TestPrimary(await directory())
  await node.listen()
  const proxy = await CuttingProxy.start(node.port)
  const databases = Array.from({ length: 5 }, (_, i) => node.create(`${i}.db`))
  const replica = new TestReplica()
  const client = replica.follow({ ...node.self, url: `http://127.0.0.1:${proxy.port}` }, 1n, 8)
  try {
    for (let round = 0; round < 40; round++) {
      proxy.cuts = { times: 1, afterBytes: random.integer(0, 400_000), exact: true }
      for (const database of databases) database.commit(random.integer(0, 3), random.next() < 0.1 ? 300_000 : 200)
      if (round % 8 === 7) await until('it catches up', () => databases.every((database) => replica.equals(database)))
      else await new Promise((resolve) => setImmediate(resolve))
    }
    await until('all is there', () => databases.every((database) => replica.equals(database)))
    expect(await node.server.caughtUp(60_000)).toBe(replica.self.nodeId)
    expect(replica.lines.filter((line) => line.includes('could not be applied'))).toEqual([])
  } finally {
    await client.stop()
    await proxy.stop()
    await node.close()
  }
})
