import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Caller } from '../content.ts'
import { PlainVolume } from './plain.ts'
import { Tree } from './tree.ts'

const { O_RDONLY, O_RDWR } = fs.constants
const ROOT = 1
const CALLER: Caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, tid: 1 }

let base: string
let outside: string
let tree: Tree
beforeEach(() => {
  base = fs.mkdtempSync(path.join(tmpdir(), 'ltxd-swapped-'))
  outside = path.join(base, 'outside')
  for (const name of ['root', 'outside', 'outside/inner']) fs.mkdirSync(path.join(base, name))
  for (const name of ['secret', 'inner/secret']) fs.writeFileSync(path.join(outside, name), 'secret', { mode: 0o600 })
  tree = new Tree(path.join(base, 'root'), new PlainVolume())
})
afterEach(() => {
  tree.close()
  fs.rmSync(base, { recursive: true })
})

const state = () =>
  fs
    .readdirSync(base, { recursive: true, withFileTypes: true })
    .filter(({ parentPath }) => parentPath.startsWith(outside))
    .map(({ parentPath, name }) => {
      const { mode, size, uid, mtimeMs } = fs.lstatSync(path.join(parentPath, name))
      return [path.join(parentPath, name), mode, size, uid, mtimeMs]
    })
    .sort()

/** What leads outside, or fails, is an error; what is done beside it is none. */
function attempt(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return error
  }
}

// Whoever had a descriptor of the directory, from a time at which its modes let him in, renames what is in it.
test.each(['d', 'd/inner'])('a directory that is swapped for a link behind the mount leads nowhere (%s)', (swapped) => {
  const directory = tree.makeDirectory(ROOT, 'd', 0o755, CALLER).nodeId
  const inner = tree.makeDirectory(directory, 'inner', 0o755, CALLER).nodeId
  const folder = swapped === 'd' ? directory : inner
  const { entry, opened } = tree.create(folder, 'secret', O_RDWR, 0o644, CALLER)
  tree.release(opened.handle)
  const at = path.join(base, 'root', swapped)
  fs.renameSync(at, `${at}-away`)
  fs.symlinkSync(swapped === 'd' ? outside : path.join(outside, 'inner'), at)
  const before = state()

  const results = [folder, inner].flatMap((node) => [
    attempt(() => tree.create(node, 'new', O_RDWR, 0o644, CALLER)),
    attempt(() => tree.makeNode(node, 'new', fs.constants.S_IFREG | 0o644, CALLER)),
    attempt(() => tree.makeDirectory(node, 'new', 0o755, CALLER)),
    attempt(() => tree.makeSymlink(node, 'new', 'x', CALLER)),
    attempt(() => tree.unlink(node, 'secret', CALLER)),
    attempt(() => tree.removeDirectory(node, 'inner')),
    attempt(() => tree.rename(node, 'secret', ROOT, 'stolen', false, CALLER)),
    attempt(() => tree.rename(ROOT, 'd', node, 'put', false, CALLER)),
    attempt(() => tree.lookup(node, 'secret')),
    attempt(() => tree.readDirectory(node, 0, true, { fits: () => true, add: () => undefined })),
    attempt(() => tree.syncDirectory(node)),
  ])
  const onFile = [
    attempt(() => tree.open(entry.nodeId, O_RDONLY, false, CALLER)),
    attempt(() => tree.setAttributes(entry.nodeId, { mode: 0o666, uid: CALLER.uid, mtime: 1 }, CALLER)),
    attempt(() => tree.setAttributes(entry.nodeId, { sizeBytes: 0 }, CALLER)),
    attempt(() => tree.getAttributes(entry.nodeId)),
  ]
  for (const result of [...results, ...onFile]) expect(result).toBeInstanceOf(Error)
  expect(state()).toEqual(before)
  expect(fs.readdirSync(path.join(base, 'root')).sort()).toEqual(swapped === 'd' ? ['d', 'd-away'] : ['d'])
})
