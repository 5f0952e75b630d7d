import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nodeFiles } from '../util/files.ts'
import { KnownNodes, MAX_KNOWN_NODES } from './known-nodes.ts'

const SELF = 'f'.repeat(16)
const named = (n: number, hostname = `host-${n}`) => ({ nodeId: n.toString(16).padStart(16, '0'), hostname })

let dir: string
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'known-nodes-'))))
afterEach(() => rmSync(dir, { recursive: true }))
const open = () => new KnownNodes(nodeFiles, join(dir, 'nodes.json'), SELF)

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
  expect(nodes.replace([named(2), { nodeId: SELF, hostname: 'here' }, named(3)])).toBe(true)
  expect(nodes.replace([{ nodeId: SELF, hostname: 'here' }, named(2), named(3)])).toBe(false)
  expect(open().list()).toEqual([named(2), named(3)])
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
