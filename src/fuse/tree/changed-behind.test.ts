import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { errorCode } from '../../util/errors.ts'
import type { Caller, VolumeNames } from '../content.ts'
import { PlainVolume } from './plain.ts'
import { Tree } from './tree.ts'

const ROOT = 1
const CALLER: Caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, tid: 1 }

/** A volume that removes names by itself. */
class Removing extends PlainVolume {
  readonly unlinked: string[] = []
  remove: (name: string) => void = () => {}
  made: (name: string) => void = () => {}

  attach({ remove, made }: VolumeNames): void {
    this.remove = remove
    this.made = made
  }

  override unlink(name: string, perform: () => void): void {
    this.unlinked.push(name)
    perform()
  }
}

let root: string
let volume: Removing
let tree: Tree
let forgotten: [number, string][]
beforeEach(() => {
  root = fs.mkdtempSync(path.join(tmpdir(), 'ltxd-tree-'))
  volume = new Removing()
  forgotten = []
  tree = new Tree(root, volume, undefined, (parent, name) => forgotten.push([parent, name]))
})
afterEach(() => {
  tree.close()
  fs.rmSync(root, { recursive: true })
})

function create(name: string): number {
  const { entry, opened } = tree.create(ROOT, name, fs.constants.O_RDWR, 0o644, CALLER)
  tree.release(opened.handle)
  return entry.nodeId
}

function codeOf(act: () => void): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    return errorCode(error)
  }
}

test('a name that the volume removed is gone for whoever saw it before the kernel heard of it, and removes it too', () => {
  const id = create('a')
  volume.remove('a')
  expect(codeOf(() => tree.open(id, fs.constants.O_RDONLY, false, CALLER))).toBe('ESTALE')
  expect(codeOf(() => tree.unlink(ROOT, 'a', CALLER))).toBeUndefined()
  expect(volume.unlinked).toEqual([])
  tree.forget(id, 1)
  expect(codeOf(() => tree.unlink(ROOT, 'a', CALLER))).toBe('ENOENT')
})

test('a name that the volume removed is another file when it is made anew', () => {
  create('a')
  volume.remove('a')
  create('a')
  tree.unlink(ROOT, 'a', CALLER)
  expect(volume.unlinked).toEqual(['a'])
  expect(fs.existsSync(path.join(root, 'a'))).toBe(false)
})

test('the kernel is told of a name that the volume made: it may remember it as free', () => {
  const directory = tree.makeDirectory(ROOT, 'd', 0o755, CALLER).nodeId
  for (const name of ['a', 'd/b', 'unknown/c']) volume.made(name)
  expect(forgotten).toEqual([
    [ROOT, 'a'],
    [directory, 'b'],
  ])
})
