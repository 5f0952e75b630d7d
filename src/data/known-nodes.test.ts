import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Files, nodeFiles } from '../util/files.ts'
import { KnownNodes, MAX_KNOWN_NODES } from './known-nodes.ts'

const SELF = 'f'.repeat(16)
const named = (n: number, hostname = `host-${n}`) => ({ nodeId: n.toString(16).padStart(16, '0'), hostname })

let dir: string
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'known-nodes-'))))
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true })
})
const open = (files: Files = nodeFiles) => new KnownNodes(files, join(dir, 'nodes.json'), SELF)

test('a node that was met is known after a restart, until it parts', () => {
  const nodes = open()
  expect(nodes.list()).toEqual([])
  expect([nodes.meet(named(1)), nodes.meet(named(2)), nodes.meet(named(1))]).toEqual([true, true, false])
  expect(open().list()).toEqual([named(1), named(2)])
  expect(nodes.meet(named(1, 'renamed'))).toBe(true)
  expect([nodes.part(named(2).nodeId), nodes.part(named(2).nodeId)]).toEqual([true, false])
  expect(open().list()).toEqual([named(1, 'renamed')])
})

test('what the leader names replaces what was known, and never holds the node itself', () => {
  const nodes = open()
  nodes.meet(named(1))
  nodes.announced([named(2), { nodeId: SELF, hostname: 'here' }, named(3)])
  expect(nodes.list()).toEqual([named(2), named(3)])
  nodes.close()
  expect(open().list()).toEqual([named(2), named(3)])
})

test('however often a leader names nodes, they are written once a second, the last ones, and when the node stops', () => {
  vi.useFakeTimers()
  let writes = 0
  const nodes = open({ ...nodeFiles, rename: (from, to) => (writes++, nodeFiles.rename(from, to)) })
  for (let i = 1; i <= 1_000; i++) nodes.announced([named(i)])
  expect([writes, open().list()]).toEqual([1, [named(1)]])
  vi.advanceTimersByTime(1_000)
  expect([writes, open().list()]).toEqual([2, [named(1_000)]])
  vi.advanceTimersByTime(5_000)
  for (let i = 0; i < 1_000; i++) nodes.announced([named(1_000)])
  vi.advanceTimersByTime(1_000)
  expect(writes).toBe(2)
  nodes.announced([named(1)])
  nodes.announced([named(2)])
  nodes.close()
  expect([writes, open().list()]).toEqual([4, [named(2)]])
})

test('what the disk does not take is written as soon as it does', () => {
  vi.useFakeTimers()
  let isFull = false
  const rename: Files['rename'] = (from, to) => {
    if (isFull) throw new Error('the disk is full')
    nodeFiles.rename(from, to)
  }
  const nodes = open({ ...nodeFiles, rename })
  nodes.announced([named(1)])
  nodes.announced([named(2)])
  isFull = true
  expect(() => nodes.meet(named(3))).toThrow('the disk is full')
  expect(nodes.list()).toEqual([named(2)])
  vi.advanceTimersByTime(3_000)
  expect(open().list()).toEqual([named(1)])
  expect(() => nodes.announced([named(4)])).toThrow('the disk is full')
  isFull = false
  vi.advanceTimersByTime(1_000)
  expect(open().list()).toEqual([named(4)])
})

test('the list is bounded, however many nodes come and whatever they are called', () => {
  const nodes = open()
  for (let n = 0; n < MAX_KNOWN_NODES + 20; n++) nodes.meet(named(n, '\u{1F600}'.repeat(127)))
  expect(open().list()).toHaveLength(MAX_KNOWN_NODES)
  expect(open().list().at(-1)?.nodeId).toBe(named(MAX_KNOWN_NODES + 19).nodeId)
  expect(nodes.meet(named(MAX_KNOWN_NODES + 19, '\u{1F600}'.repeat(127)))).toBe(false)
})

test('a damaged list is not read as an empty one', () => {
  open().meet(named(1))
  const path = join(dir, 'nodes.json')
  writeFileSync(path, readFileSync(path, 'utf8').replace('host-1', 'host-2'))
  expect(open).toThrow(/nodes\.json is not as ltxd wrote it: its checksum is .* remove it/)
})
