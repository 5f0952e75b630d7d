import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { lockForReading, openDataDirectory } from './directory.ts'

test('I6: a node does not lead in a term below one that it has seen, not even after a restart', () => {
  using temporary = temporaryDirectory()
  const first = openDataDirectory(temporary.dir)
  first.led(3n)
  first.sawTerm(7n)
  expect(() => first.led(6n)).toThrow(/I6/)
  first.close()
  const second = openDataDirectory(temporary.dir)
  expect(() => second.led(6n)).toThrow(/I6/)
  expect(second.term()).toBe(7n)
  expect(second.ledTerm()).toBe(3n)
  second.led(8n)
  expect(second.term()).toBe(8n)
  second.close()
})

test('a node that leads without some databases has the history of an earlier term, until it has them', () => {
  using temporary = temporaryDirectory()
  const first = openDataDirectory(temporary.dir)
  first.led(3n)
  first.led(5n, false)
  expect([first.ledTerm(), first.historyTerm()]).toEqual([5n, 3n])
  first.close()
  const second = openDataDirectory(temporary.dir)
  expect([second.ledTerm(), second.historyTerm()]).toEqual([5n, 3n])
  second.hasHistoryOf(5n)
  expect(second.historyTerm()).toBe(5n)
  second.close()
})

const IDENTITY = { id: '00000000000000ab', clusterId: '00000000000000cd', term: '3', ledTerm: '2', historyTerm: '3' }

/** A data directory with this node.json. */
function withIdentity(dir: string, identity: object): string {
  mkdirSync(`${dir}/files`, { recursive: true })
  writeFileSync(`${dir}/node.json`, JSON.stringify(identity))
  return dir
}

const stored = (dir: string) => {
  const { checksum: _, ...identity } = JSON.parse(readFileSync(`${dir}/node.json`, 'utf8')) as Record<string, unknown>
  return identity
}

test('a new data directory has a format number', () => {
  using temporary = temporaryDirectory()
  const data = openDataDirectory(temporary.dir)
  data.close()
  expect(stored(temporary.dir)).toEqual({ format: 1, id: data.nodeId.toString(16).padStart(16, '0') })
})

test('a data directory without a number, as version 0.1 wrote it, is read, and has one after its first change', () => {
  using temporary = temporaryDirectory()
  const data = openDataDirectory(withIdentity(temporary.dir, IDENTITY))
  expect([data.nodeId, data.clusterId(), data.term(), data.ledTerm()]).toEqual([0xabn, IDENTITY.clusterId, 3n, 2n])
  expect(stored(temporary.dir)).toEqual(IDENTITY)
  data.sawTerm(4n)
  data.close()
  expect(stored(temporary.dir)).toEqual({ format: 1, ...IDENTITY, term: '4' })
})

test('a data directory of a later format is rejected in one line, and nothing in it changes', () => {
  using temporary = temporaryDirectory()
  const dir = withIdentity(temporary.dir, { format: 2, ...IDENTITY })
  // An unfinished replacement, which opening finishes.
  mkdirSync(`${dir}/log/a.db.ltx.next`, { recursive: true })
  writeFileSync(`${dir}/log/a.db.ltx.next/base.json`, '{}')
  for (const open of [openDataDirectory, lockForReading]) {
    expect(() => open(dir)).toThrow(
      new RegExp(`^${dir}/node\\.json has format 2, but ltxd \\S+ knows only 1\\. Nothing was changed\\. [^\\n]*$`),
    )
  }
  expect(stored(dir)).toEqual({ format: 2, ...IDENTITY })
  expect(readdirSync(`${dir}/log`)).toEqual(['a.db.ltx.next'])
  expect(existsSync(`${dir}/log/a.db.ltx.next/base.json`)).toBe(true)
})

test('a term above 2^62 is neither written nor read', () => {
  using temporary = temporaryDirectory()
  const data = openDataDirectory(temporary.dir)
  data.sawTerm(2n ** 62n)
  const before = stored(temporary.dir)
  expect(() => data.sawTerm(2n ** 62n + 1n)).toThrow('too large')
  expect(() => data.led(2n ** 63n - 1n)).toThrow('too large')
  data.close()
  expect(stored(temporary.dir)).toEqual(before)
  using poisoned = temporaryDirectory()
  const dir = withIdentity(poisoned.dir, { ...IDENTITY, term: String(2n ** 63n - 1n) })
  expect(() => openDataDirectory(dir)).toThrow(/node\.json.*is too large/s)
})

test('a node whose node.json was removed forgets its terms, but not that it may have led', () => {
  using temporary = temporaryDirectory()
  const { dir } = temporary
  const first = openDataDirectory(dir)
  expect(first.mayHaveLed()).toBe(false)
  first.led(4n)
  first.close()
  mkdirSync(`${dir}/log/a.db.ltx`)
  for (const isFirst of [true, false]) {
    if (isFirst) rmSync(`${dir}/node.json`)
    const next = openDataDirectory(dir)
    expect([next.ledTerm(), next.mayHaveLed(), next.nodeId === first.nodeId]).toEqual([0n, true, false])
    next.close()
  }
})

test('what is said of a damaged node.json does not make a node of a cluster forget its terms', () => {
  using temporary = temporaryDirectory()
  const dir = withIdentity(temporary.dir, { ...IDENTITY, id: 'x' })
  expect(() => openDataDirectory(dir)).toThrow(
    /Put it back from a copy\..*start with an empty one;.*In a cluster do not/,
  )
})
