import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { finish } from '../../src/apply/steps.ts'
import { compacted, Source } from '../../src/apply/testing.ts'
import { bytesInMemory, bytesOfFile } from '../../src/apply/transaction.ts'
import { formatPosition } from '../../src/ltx/format/types.ts'
import { LocalClient } from '../../src/replica/client/client.ts'
import { ClientDatabase } from '../../src/replica/client/database.ts'
import type { FromClient } from '../../src/replica/client/messages.ts'
import { filesBeneath } from '../../src/util/files-beneath.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import { until } from '../harness/wait.ts'

const DISK_KIB = 512

test.skipIf(!IS_ROOT).each(['wal', 'delete'])(
  'a replica whose disk was full for a moment takes the next snapshot, and goes on, in %s mode',
  async (mode) => {
    using temporary = temporaryDirectory()
    const { dir } = temporary
    const disk = join(dir, 'disk')
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_KIB}k`, 'none', disk])
    try {
      const source = new Source(join(dir, 'source.db'))
      source.commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t(a INTEGER PRIMARY KEY, b)`)
      for (let i = 0; i < 10; i++) source.commit('INSERT INTO t(b) VALUES (hex(randomblob(2000)))')
      const states = source.states
      const database = new ClientDatabase(
        'a.db',
        filesBeneath(disk),
        () => {},
        () => undefined,
      )
      finish(database.open([]))
      const apply = (at: number) => {
        const ltx = states[at]?.ltx ?? new Uint8Array(0)
        return finish(database.apply(bytesInMemory(ltx), ltx))
      }
      for (let i = 0; i < 5; i++) apply(i)
      expect(() => writeFileSync(join(disk, 'filler'), new Uint8Array(DISK_KIB << 10))).toThrow(/ENOSPC/)
      let failedAt = 5
      // The free rest of the last page of a file may take a transaction or two.
      const fill = () => {
        for (; failedAt < 9; failedAt++) apply(failedAt)
      }
      expect(fill).toThrow(/ENOSPC/)
      const snapshot = join(dir, 'snapshot.ltx')
      writeFileSync(snapshot, await compacted(states.slice(0, failedAt + 1)))
      const advance = () => {
        const position = formatPosition(states[failedAt]!.position)
        const order = {
          type: 'advance',
          database: 'a.db',
          file: snapshot,
          whole: true,
          position,
          timestampMs: 0,
        } as const
        return finish(database.advance(bytesOfFile(snapshot), order))
      }
      expect(advance, 'the disk is still full').toThrow(/ENOSPC/)
      rmSync(join(disk, 'filler'))
      expect(advance()).toEqual(states[failedAt]?.position)
      expect(apply(failedAt + 1)).toEqual(states[failedAt + 1]?.position)
      expect(finish(database.checkpoint())).toBe(true)
      database.close()
      const file = new Sqlite(join(disk, 'a.db'))
      expect(file.prepare('SELECT count(*) FROM t').pluck().get()).toBe(failedAt + 1)
      expect(file.pragma('integrity_check', { simple: true })).toBe('ok')
      file.close()
      source.close()
    } finally {
      execFileSync('umount', ['-l', disk])
    }
  },
)

test.skipIf(!IS_ROOT).each(['wal', 'delete'])(
  'a replica whose disk is full says so, and applies what waited as soon as there is room, in %s mode',
  async (mode) => {
    using temporary = temporaryDirectory()
    const { dir } = temporary
    const disk = join(dir, 'disk')
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_KIB}k`, 'none', disk])
    const said: FromClient[] = []
    const announced: string[] = []
    const client = new LocalClient(
      filesBeneath(disk),
      filesBeneath(dir),
      (...announcements) => announced.push(...announcements.map(({ op }) => op)),
      (message) => said.push(message),
    )
    try {
      const source = new Source(join(dir, 'source.db'))
      source.commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t(a INTEGER PRIMARY KEY, b)`)
      for (let i = 0; i < 40; i++) source.commit('INSERT INTO t(b) VALUES (hex(randomblob(4000)))')
      const { states } = source
      client.enqueue({ type: 'open', database: 'a.db', positions: [] }, new Uint8Array(0))
      for (const { ltx } of states.slice(0, 5)) client.enqueue({ type: 'apply', database: 'a.db' }, ltx)
      client.complete()
      expect(() => writeFileSync(join(disk, 'filler'), new Uint8Array(DISK_KIB << 10))).toThrow(/ENOSPC/)
      announced.length = 0
      for (const { ltx } of states.slice(5, 20)) client.enqueue({ type: 'apply', database: 'a.db' }, ltx)
      client.work()
      await until('the client says why', 10_000, () => said.find(({ type }) => type === 'blocked'))
      expect(said.at(-1)).toMatchObject({ isFailure: true, reason: expect.stringContaining('ENOSPC') as string })
      expect(said.filter(({ type }) => type === 'failed')).toEqual([])
      rmSync(join(disk, 'filler'))
      await until('everything is applied', 20_000, () =>
        said.some((message) => message.type === 'applied' && message.position === formatPosition(states[19]!.position)),
      )
      expect(announced.indexOf('reset'), 'what was announced for the failed write is forgotten').toBeGreaterThan(0)
      client.close()
      const file = new Sqlite(join(disk, 'a.db'))
      expect(file.prepare('SELECT count(*) FROM t').pluck().get()).toBe(19)
      expect(file.pragma('integrity_check', { simple: true })).toBe('ok')
      file.close()
      source.close()
    } finally {
      client.finish()
      execFileSync('umount', ['-l', disk])
    }
  },
)
