import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { DataDirectory } from '../data/directory.ts'
import type { Spool } from '../data/spool.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { createLogger } from '../util/log.ts'
import type { ReplicaDatabase } from './database.ts'
import type { ReplicaDatabases } from './databases.ts'
import { ReplicaSink } from './sink.ts'

const never = new Promise<never>(() => undefined)

test('any number of databases may wait at once, without a warning of a leak', async () => {
  const warnings: Error[] = []
  const warned = (warning: Error) => warnings.push(warning)
  process.on('warning', warned)
  const database = { idle: () => never, discard: () => never } as unknown as ReplicaDatabase
  const sink = new ReplicaSink({
    self: { nodeId: 'b'.repeat(16), hostname: 'second', url: 'http://127.0.0.1:1' },
    ...{ candidate: true, data: {} as DataDirectory, spool: {} as Spool },
    plane: { databases: new Map(), droppedAt: () => undefined } as unknown as DataPlane,
    databases: { get: async () => database } as unknown as ReplicaDatabases,
    logger: createLogger({ level: 'silent', format: 'json' }),
    ...{ caughtUp: () => {}, alive: () => {}, resynced: () => {} },
  })
  for (let connection = 0; connection < 2; connection++) {
    sink.resume()
    const waiting = Array.from({ length: 100 }, (_, i) => sink.unknown(`${i}.db`).catch(() => 'interrupted'))
    await setImmediate()
    sink.interrupt()
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['interrupted']))
  }
  await setImmediate()
  process.off('warning', warned)
  expect(warnings).toEqual([])
})
