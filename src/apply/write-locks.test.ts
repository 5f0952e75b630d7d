import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { unmarshalWalIndexHeader } from '../sqlite/wal-index.ts'
import { Applier } from './applier.ts'
import { ApplyBlockedError } from './errors.ts'
import { MemoryPositions, Source } from './testing.ts'
import { bytesInMemory } from './transaction.ts'

const root = mkdtempSync(join(tmpdir(), 'ltxd-write-locks-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const MODES = ['wal', 'delete'] as const
let dir = ''
beforeEach(() => void (dir = mkdtempSync(join(root, 'pair-'))))

/** A database that an Applier follows, without SQLite's write locks, and an application that has it open. */
function pair(mode: string) {
  const source = new Source(join(dir, 'source.db'))
  source.commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v)`)
  const path = join(dir, 'replica.db')
  const applier = Applier.open(path, { positions: new MemoryPositions() })
  const apply = () => {
    for (const { position, ltx } of source.states) {
      if (position.txid > applier.position.txid) applier.apply(bytesInMemory(ltx))
    }
  }
  apply()
  applier.locks.unlockWrites()
  const application = new Database(path, { timeout: 0 })
  return { source, applier, apply, application, path }
}

test.each(MODES)('I8: in %s mode nothing is applied while an application has the write lock', (mode) => {
  const { source, applier, apply, application } = pair(mode)
  application.exec('BEGIN IMMEDIATE')
  expect(() => applier.locks.lockWrites()).toThrow(ApplyBlockedError)
  expect(() => applier.locks.lockWrites()).toThrow(`(${process.pid}) has a write transaction open`)
  application.exec('ROLLBACK')
  applier.locks.lockWrites()
  expect(() => application.exec('BEGIN IMMEDIATE')).toThrow('locked')
  source.commit('INSERT INTO t VALUES (1, 1)')
  apply()
  applier.locks.unlockWrites()
  expect(application.prepare('SELECT v FROM t').pluck().all()).toEqual([1])
  application.exec('BEGIN IMMEDIATE; ROLLBACK')
  application.close()
})

test('an application that has the write lock cannot begin a copied WAL anew in the wal-index', () => {
  const { source, applier, apply, application, path } = pair('wal')
  source.commit('INSERT INTO t VALUES (2, 1)')
  applier.locks.lockWrites()
  apply()
  applier.locks.unlockWrites()
  expect(applier.checkpoint()).toMatchObject({ complete: true })
  const header = () => unmarshalWalIndexHeader(readFileSync(`${path}-shm`).subarray(0, 96))
  const before = header()
  application.exec('INSERT INTO t VALUES (1, 1)') // Here nothing rejects it.
  expect(before?.maxFrame).toBeGreaterThan(0)
  expect(header()).toMatchObject({ salt1: before?.salt1, salt2: before?.salt2 })
  expect(header()?.maxFrame).toBeGreaterThan(before?.maxFrame ?? 0)
})

test('I8: nothing is applied over a wal-index that another process has changed', () => {
  const { applier, application } = pair('wal')
  application.exec('INSERT INTO t VALUES (1, 1)') // Here nothing rejects it.
  expect(() => applier.locks.lockWrites()).toThrow(/I8: another process changed the wal-index/)
  expect(applier.status.isUsable).toBe(false)
})

test('the WAL of the Applier begins anew while others may take the write lock in between', () => {
  const { source, applier, apply, application } = pair('wal')
  for (let i = 1; i <= 5; i++) {
    source.commit(`INSERT INTO t VALUES (${i}, 1)`)
    applier.locks.lockWrites()
    apply()
    const { walFrames } = applier.status
    expect(applier.checkpoint()).toMatchObject({ complete: true })
    applier.locks.unlockWrites()
    expect(walFrames).toBeLessThan(5)
    expect(application.prepare('SELECT count(*) FROM t').pluck().get()).toBe(i)
    application.exec('BEGIN IMMEDIATE; ROLLBACK')
  }
})
