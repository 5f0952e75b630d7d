import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Caller } from '../content.ts'
import { PlainVolume } from './plain.ts'
import { isSpecial, type SpecialContent, type SpecialFiles } from './special-files.ts'
import { Tree } from './tree.ts'

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants
const ROOT = 1
const CALLER: Caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, tid: 1 }

/** Names that end in "?" may be special; those in `said` are. */
class Oracle implements SpecialFiles {
  readonly said = new Map<string, string>()

  names(path: string): boolean {
    return path.endsWith('?')
  }

  reserved(path: string): boolean {
    return path === 'always?' || this.said.has(path)
  }

  content(path: string): SpecialContent | undefined {
    const text = this.said.get(path)
    return text === undefined ? undefined : { bytes: Buffer.from(text), modifiedMs: 5000 }
  }
}

let root: string
let oracle: Oracle
let tree: Tree
beforeEach(() => {
  root = fs.mkdtempSync(path.join(tmpdir(), 'ltxd-special-'))
  oracle = new Oracle()
  tree = new Tree(root, new PlainVolume(), oracle)
})
afterEach(() => {
  tree.close()
  fs.rmSync(root, { recursive: true })
})

function found(name: string, parent = ROOT) {
  const entry = tree.lookup(parent, name)
  if (entry === undefined) throw new Error(`${name} was reported missing without a time limit`)
  return entry
}

function read(handle: number, position: number, length = 100): string {
  const into = Buffer.alloc(length + 3)
  return into.toString('utf8', 3, 3 + tree.read(handle, into, 3, length, position))
}

function code(action: () => unknown): string | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}

describe('a special file', () => {
  it('has the size of its current content, is readable by all, and is never cached', () => {
    oracle.said.set('a?', 'seven..')
    const entry = found('a?')
    expect(entry.cached).toBe(false)
    expect(entry.attributes).toMatchObject({ size: 7, mode: 0o100444, nlink: 1, mtimeMs: 5000, uncached: true })
    oracle.said.set('a?', 'longer than that')
    expect(tree.getAttributes(entry.nodeId)).toMatchObject({ size: 16, uncached: true })
    expect(tree.open(entry.nodeId, O_RDONLY, false, CALLER).cached).toBe(false)
  })

  it('that is missing may not be cached as missing, unlike an ordinary name', () => {
    expect(code(() => tree.lookup(ROOT, 'a?'))).toBe('ENOENT')
    expect(tree.lookup(ROOT, 'a')).toBeUndefined()
    oracle.said.set('a?', 'x')
    expect(found('a?').attributes.size).toBe(1)
    oracle.said.delete('a?')
    expect(code(() => tree.lookup(ROOT, 'a?'))).toBe('ENOENT')
  })

  it('may be in a subdirectory, under its full path', () => {
    const directory = tree.makeDirectory(ROOT, 'sub', 0o755, CALLER)
    oracle.said.set('sub/a?', 'below')
    const { handle } = tree.open(found('a?', directory.nodeId).nodeId, O_RDONLY, false, CALLER)
    expect(read(handle, 0)).toBe('below')
    expect(code(() => tree.lookup(ROOT, 'a?'))).toBe('ENOENT')
  })

  it('is one node for as long as the kernel remembers it, and is removed when the kernel forgets it', () => {
    const before = tree.nodeCount
    oracle.said.set('a?', 'x')
    const first = found('a?')
    expect(found('a?').nodeId).toBe(first.nodeId)
    expect(isSpecial(first.nodeId)).toBe(true)
    tree.forget(first.nodeId, 1)
    expect(tree.nodeCount).toBe(before + 1)
    tree.forget(first.nodeId, 1)
    expect(tree.nodeCount).toBe(before)
    expect(code(() => tree.getAttributes(first.nodeId))).toBe('ESTALE')
    expect(found('a?').nodeId).not.toBe(first.nodeId)
  })

  it('keeps its content for later pieces of a read, and refreshes it at offset 0', () => {
    oracle.said.set('a?', 'first answer')
    const { handle } = tree.open(found('a?').nodeId, O_RDONLY, false, CALLER)
    expect(read(handle, 6)).toBe('answer')
    expect(read(handle, 0, 5)).toBe('first')
    oracle.said.set('a?', 'second one')
    expect(read(handle, 5)).toBe(' answer')
    expect(read(handle, 12)).toBe('')
    expect(read(handle, 0)).toBe('second one')
    expect(read(handle, 7)).toBe('one')
    tree.sync(handle, false)
    tree.release(handle)
    expect(code(() => read(handle, 0))).toBe('EBADF')
  })

  it('that vanishes while open reads as empty, and has no name', () => {
    oracle.said.set('a?', 'here')
    const { nodeId } = found('a?')
    const { handle } = tree.open(nodeId, O_RDONLY, false, CALLER)
    oracle.said.delete('a?')
    expect(read(handle, 0)).toBe('')
    expect(tree.getAttributes(nodeId)).toMatchObject({ size: 0, nlink: 0, mtimeMs: 5000 })
    expect(code(() => tree.open(nodeId, O_RDONLY, false, CALLER))).toBe('ENOENT')
  })

  it('cannot be written, truncated, changed, removed, renamed, replaced or created', () => {
    oracle.said.set('a?', 'stays')
    const { nodeId } = found('a?')
    tree.create(ROOT, 'real', O_RDWR, 0o644, CALLER)
    const attempts = [
      () => tree.open(nodeId, O_WRONLY, false, CALLER),
      () => tree.open(nodeId, O_RDWR, false, CALLER),
      () => tree.open(nodeId, O_RDONLY | O_TRUNC, false, CALLER),
      () => tree.setAttributes(nodeId, { sizeBytes: 0 }, CALLER),
      () => tree.setAttributes(nodeId, { mode: 0o666 }, CALLER),
      () => tree.unlink(ROOT, 'a?', CALLER),
      () => tree.rename(ROOT, 'a?', ROOT, 'b', false, CALLER),
      () => tree.rename(ROOT, 'real', ROOT, 'a?', false, CALLER),
      () => tree.create(ROOT, 'a?', O_WRONLY | O_CREAT | O_EXCL, 0o644, CALLER),
      () => tree.makeNode(ROOT, 'a?', 0o100644, CALLER),
      () => tree.makeDirectory(ROOT, 'a?', 0o755, CALLER),
      () => tree.makeSymlink(ROOT, 'a?', 'target', CALLER),
      () => tree.create(ROOT, 'always?', O_WRONLY | O_CREAT, 0o644, CALLER),
      () => tree.rename(ROOT, 'real', ROOT, 'always?', false, CALLER),
    ]
    expect(attempts.map(code)).toEqual(attempts.map(() => 'EACCES'))
    expect(fs.readdirSync(root)).toEqual(['real'])
    expect(code(() => tree.unlink(ROOT, 'b?', CALLER))).toBe('ENOENT')
  })

  it('is in no listing', () => {
    oracle.said.set('a?', 'x')
    found('a?')
    tree.create(ROOT, 'real', O_RDWR, 0o644, CALLER)
    const names: string[] = []
    const sink = { fits: () => true, add: (name: string) => void names.push(name) }
    tree.readDirectory(ROOT, 0, true, sink)
    expect(names).toEqual(['.', '..', 'real'])
  })
})

describe('a real file of such a name', () => {
  it('can be created while no special file exists, and then hides it', () => {
    const { entry } = tree.create(ROOT, 'a?', O_RDWR, 0o644, CALLER)
    oracle.said.set('a?', 'special')
    expect(found('a?')).toMatchObject({ nodeId: entry.nodeId, cached: true, attributes: { size: 0 } })
    tree.unlink(ROOT, 'a?', CALLER)
    expect(found('a?').attributes.size).toBe(7)
  })
})
