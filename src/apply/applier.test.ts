import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { LTXError } from '../ltx/format/errors.ts'
import type { Position } from '../ltx/format/types.ts'
import { Applier } from './applier.ts'
import type { ApplierOptions } from './applier-options.ts'
import { ApplyDivergedError, ApplyGapError, UnknownStateError } from './errors.ts'
import { compacted, MemoryPositions, Source, type SourceState } from './testing.ts'
import { bytesInMemory, type LtxBytes } from './transaction.ts'

const root = mkdtempSync(join(tmpdir(), 'ltxd-apply-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let made = 0

/** A source in one journal mode, and a database that receives its transactions. */
function pair(mode: string, options: Partial<ApplierOptions> = {}) {
  const dir = join(root, String(made++))
  rmSync(dir, { recursive: true, force: true })
  const source = new Source(`${dir}-source.db`)
  source.commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v)`)
  const path = `${dir}.db`
  const positions = new MemoryPositions()
  const open = () => Applier.open(path, { positions, ...options })
  return { source, path, positions, open }
}

function applyAll(applier: Applier, states: readonly SourceState[]): void {
  for (const state of states) {
    if (state.position.txid <= applier.position.txid) continue
    expect(applier.apply(bytesInMemory(state.ltx)).position).toEqual(state.position)
  }
}

function checkSound(path: string): void {
  const database = new Database(path, { readonly: true })
  expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
  database.close()
}

describe.each(['wal', 'delete'])('a database in %s mode', (mode) => {
  test('receives every transaction, and ends byte-identical to its source', () => {
    const { source, path, open } = pair(mode, { checkpointFrames: 20 })
    const applier = open()
    for (let i = 0; i < 60; i++) {
      source.commit(`INSERT INTO t (v) VALUES (hex(zeroblob(${(i * 37) % 900})))`)
      if (i % 9 === 8) source.commit(`DELETE FROM t WHERE id % 3 = ${i % 3}`)
      applyAll(applier, source.states)
      expect(applier.status.journalMode).toBe(mode === 'wal' ? 'wal' : 'rollback')
    }
    applier.close()
    expect(existsSync(`${path}-wal`) || existsSync(`${path}-shm`) || existsSync(`${path}-journal`)).toBe(false)
    expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
    checkSound(path)
    source.close()
  })

  test('is recognised by its checksum after a restart, and continues', () => {
    const { source, path, open } = pair(mode)
    for (let i = 0; i < 20; i++) source.commit(`INSERT INTO t (v) VALUES (${i})`)
    for (let end = 1; end <= source.states.length; end++) {
      const applier = open()
      expect(applier.position.txid).toBe(BigInt(end - 1))
      applyAll(applier, source.states.slice(0, end))
      applier.close()
    }
    expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
    source.close()
  })

  test('applies compacted ranges, with and without checksums, also ranges that overlap its position', async () => {
    const { source, path, open } = pair(mode)
    for (let i = 0; i < 30; i++) source.commit(`INSERT INTO t (v) VALUES (hex(zeroblob(${i * 50})))`)
    const applier = open()
    applyAll(applier, source.states.slice(0, 3))
    const { states } = source
    expect(applier.apply(bytesInMemory(await compacted(states.slice(3, 10)))).position).toEqual(states[9]?.position)
    expect(applier.apply(bytesInMemory(await compacted(states.slice(5, 20), true))).position).toEqual(
      states[19]?.position,
    )
    expect(applier.apply(bytesInMemory(await compacted(states))).position).toEqual(states.at(-1)?.position)
    expect(applier.apply(bytesInMemory(await compacted(states.slice(2, 9)))).applied).toBe(false)
    applier.close()
    expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
    source.close()
  })

  test('rejects a gap, another history and damage, and stays unchanged', () => {
    const { source, path, open } = pair(mode)
    source.commit('INSERT INTO t (v) VALUES (1)')
    source.commit('INSERT INTO t (v) VALUES (2)')
    const other = new Source(`${path}-other.db`)
    other.commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v)`)
    other.commit("INSERT INTO t (v) VALUES ('other')")
    const [first, second, third] = source.states
    if (first === undefined || second === undefined || third === undefined) throw new Error('three transactions')
    const applier = open()
    applyAll(applier, [first])
    const damaged = second.ltx.slice()
    damaged[damaged.length - 3] = (damaged[damaged.length - 3] ?? 0) ^ 1
    expect(() => applier.apply(bytesInMemory(third.ltx))).toThrow(ApplyGapError)
    expect(() => applier.apply(bytesInMemory(damaged))).toThrow(LTXError)
    const strange = other.states[1]?.ltx ?? new Uint8Array()
    if (first.position.checksum !== other.states[0]?.position.checksum) {
      expect(() => applier.apply(bytesInMemory(strange))).toThrow(ApplyDivergedError)
    }
    expect(applier.position).toEqual(first.position)
    applyAll(applier, [second, third])
    applier.close()
    expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
    source.close()
    other.close()
  })

  test('I8: readers never go back: transactions that the database already has are skipped, alone and in a batch', () => {
    const { source, path, open } = pair(mode)
    for (let i = 0; i < 8; i++) source.commit(`INSERT INTO t (v) VALUES (${i})`)
    const applier = open()
    applyAll(applier, source.states)
    const newest = source.states.at(-1)?.position
    const bytes = readFileSync(path)
    const files = source.states.map(({ ltx }) => bytesInMemory(ltx))
    for (const file of files) {
      expect(applier.apply(file)).toEqual({ position: newest, applied: false, pages: 0 })
    }
    const announced: unknown[] = []
    for (let at = 0; at < files.length; at++) {
      const rest = files.slice(at) as [LtxBytes, ...LtxBytes[]]
      expect(applier.applyAll(rest, (positions) => announced.push(positions)).applied).toBe(false)
    }
    expect(announced).toEqual([])
    expect(applier.position).toEqual(newest)
    expect(readFileSync(path).equals(bytes)).toBe(true)
    applier.close()
    source.close()
  })

  test('is not opened after another program wrote to it', () => {
    const { source, path, open } = pair(mode)
    const applier = open()
    applyAll(applier, source.states)
    applier.close()
    const stranger = new Database(path)
    stranger.exec("INSERT INTO t (v) VALUES ('mine')")
    stranger.close()
    expect(open).toThrow(UnknownStateError)
    source.close()
  })

  test('grows, shrinks, is vacuumed, is dropped and is created again', () => {
    const { source, path, open } = pair(mode)
    source.commit(
      'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t (v) SELECT hex(zeroblob(700)) FROM n',
    )
    source.commit('DELETE FROM t WHERE id > 5')
    source.commit('VACUUM')
    const applier = open()
    applyAll(applier, source.states)
    expect(applier.position).toEqual(source.states.at(-1)?.position)
    const live = source.states.at(-1)?.image
    source.note(Buffer.alloc(0))
    source.note(live)
    applyAll(applier, source.states)
    applier.close()
    expect(statSync(path).size).toBe(live?.length)
    expect(readFileSync(path).equals(live ?? Buffer.alloc(0))).toBe(true)
    source.close()
  })
})

test('transactions that arrive together are applied together, as many as fit into one write', () => {
  const { source, path, open } = pair('wal', { checkpointFrames: 50 })
  for (let i = 0; i < 40; i++) source.commit(`INSERT INTO t (v) VALUES (hex(zeroblob(${(i * 97) % 3000})))`)
  source.commit('DELETE FROM t WHERE id > 3')
  source.commit('VACUUM')
  for (let i = 0; i < 10; i++) source.commit(`UPDATE t SET v = ${i}`)
  source.commit('PRAGMA journal_mode = delete')
  source.commit('INSERT INTO t (v) VALUES (1)')
  source.commit('PRAGMA journal_mode = wal')
  for (let i = 0; i < 10; i++) source.commit(`INSERT INTO t (v) VALUES (${i})`)
  const applier = open()
  const counts: number[] = []
  for (let at = 0; at < source.states.length; at += counts.at(-1) ?? 0) {
    const [first, ...rest] = source.states.slice(at).map(({ ltx }) => bytesInMemory(ltx))
    if (first === undefined) break
    const announced: Position[] = []
    const { count, position } = applier.applyAll([first, ...rest], (positions) => announced.push(...positions))
    expect(announced).toEqual(source.states.slice(at, at + count).map((state) => state.position))
    expect(position).toEqual(announced.at(-1))
    expect(applier.position).toEqual(position)
    counts.push(count)
  }
  expect(Math.max(...counts)).toBeGreaterThan(30)
  expect(counts.reduce((sum, count) => sum + count)).toBe(source.states.length)
  applier.close()
  expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
  checkSound(path)
  source.close()
})

test('a batch ends before a transaction that does not follow, which then fails alone', () => {
  const { source, open } = pair('wal')
  for (let i = 0; i < 6; i++) source.commit(`INSERT INTO t (v) VALUES (${i})`)
  const [first, ...rest] = source.states.map(({ ltx }) => ltx)
  if (first === undefined) throw new Error('seven transactions')
  const applier = open()
  applier.apply(bytesInMemory(first))
  const damaged = (rest[3] ?? first).slice()
  damaged[damaged.length - 3] = (damaged[damaged.length - 3] ?? 0) ^ 1
  const files = [...rest.slice(0, 3), damaged, ...rest.slice(4)].map(bytesInMemory)
  const from = (at: number) => files.slice(at) as [LtxBytes, ...LtxBytes[]]
  expect(applier.applyAll(from(0)).count).toBe(3)
  expect(() => applier.applyAll(from(3))).toThrow(LTXError)
  expect(() => applier.applyAll(from(4))).toThrow(ApplyGapError)
  expect(applier.position).toEqual(source.states[3]?.position)
  const gap = [rest[3], rest[5]].map((ltx) => bytesInMemory(ltx ?? first)) as [LtxBytes, LtxBytes]
  expect(applier.applyAll(gap).count).toBe(1)
  expect(applier.position).toEqual(source.states[4]?.position)
  applier.close()
  source.close()
})

test('changes of the journal mode and of the page size are applied like any transaction', () => {
  const { source, path, open } = pair('delete')
  const applier = open()
  const modes: string[] = []
  for (const sql of [
    'INSERT INTO t (v) VALUES (1)',
    'PRAGMA journal_mode = wal',
    'INSERT INTO t (v) VALUES (2)',
    'PRAGMA journal_mode = delete',
    'INSERT INTO t (v) VALUES (3)',
    'PRAGMA page_size = 1024; VACUUM',
    'INSERT INTO t (v) VALUES (4)',
    'PRAGMA journal_mode = wal',
    'INSERT INTO t (v) VALUES (5)',
  ]) {
    source.commit(sql)
    applyAll(applier, source.states)
    applier.checkpoint()
    modes.push(applier.status.journalMode)
  }
  expect(modes).toEqual(['rollback', 'wal', 'wal', 'rollback', 'rollback', 'rollback', 'rollback', 'wal', 'wal'])
  applier.close()
  expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
  checkSound(path)
  source.close()
})

test('a file that is not a database is not changed', () => {
  const path = join(root, 'text.db')
  writeFileSync(path, 'not a database at all')
  expect(() => Applier.open(path, { positions: new MemoryPositions() })).toThrow(/is not a SQLite database/)
  expect(readFileSync(path, 'utf8')).toBe('not a database at all')
})
