import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Caller } from '../content.ts'
import { FsError } from '../errno.ts'
import { PlainContent, PlainVolume } from './plain.ts'
import { Tree } from './tree.ts'

const { O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants
const ROOT = 1
const CALLER: Caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, tid: 1 }

/** A volume that records its calls, and rejects the ones that the test chooses. */
class Recorder extends PlainVolume {
  readonly heard: string[] = []
  refuse: string | undefined

  override content(path: string, fd: number): PlainContent {
    const say = (what: string) => this.say(`${path}: ${what}`)
    say('content')
    return new (class extends PlainContent {
      override opened(flags: number): void {
        say(
          `opened ${(flags & 3) === O_RDONLY ? 'to read' : 'to write'}${(flags & O_TRUNC) !== 0 ? ', truncating' : ''}`,
        )
        super.opened(flags)
      }
      override truncate(sizeBytes: number): void {
        say(`truncated to ${sizeBytes}`)
        super.truncate(sizeBytes)
      }
      override released(_flags?: number, handles?: number, writers?: number): void {
        say(`released, ${handles} open, ${writers} writing`)
      }
    })(fd)
  }

  override unlink(path: string, perform: () => void): void {
    this.say(`${path}: unlinked`)
    perform()
  }

  override rename(from: string, to: string, isDirectory: boolean, perform: () => void): void {
    this.say(`${from}: renamed to ${to}${isDirectory ? '/' : ''}`)
    perform()
  }

  override syncDirectory(path: string, perform: () => void): void {
    this.say(`${path}/: synced`)
    perform()
  }

  say(what: string): void {
    this.heard.push(what)
    if (this.refuse !== undefined && what.includes(this.refuse)) throw new FsError('EROFS', 'refused by the test')
  }
}

let root: string
let volume: Recorder
let tree: Tree
beforeEach(() => {
  root = fs.mkdtempSync(path.join(tmpdir(), 'ltxd-tree-'))
  volume = new Recorder()
  tree = new Tree(root, volume)
})
afterEach(() => {
  tree.close()
  fs.rmSync(root, { recursive: true })
})

const create = (name: string, parent = ROOT) => tree.create(parent, name, O_RDWR, 0o644, CALLER)
const openDescriptors = () => fs.readdirSync('/proc/self/fd').length

function code(action: () => unknown): string | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}

describe('the content of a file', () => {
  it('is told of each handle with the number left, and has one backing file for all', () => {
    const first = create('a')
    const second = tree.open(first.entry.nodeId, O_RDONLY, false, CALLER)
    const third = tree.open(first.entry.nodeId, O_WRONLY | O_TRUNC, false, CALLER)
    for (const handle of [first.opened.handle, third.handle, second.handle]) tree.release(handle)
    expect(volume.heard).toEqual([
      'a: content',
      'a: opened to write',
      'a: opened to read',
      'a: opened to write, truncating',
      'a: released, 2 open, 1 writing',
      'a: released, 1 open, 0 writing',
      'a: released, 0 open, 0 writing',
    ])
  })

  it('sees a truncation by name as a writer that opens, truncates and closes', () => {
    const { entry, opened } = create('a')
    tree.release(opened.handle)
    volume.heard.length = 0
    expect(tree.setAttributes(entry.nodeId, { sizeBytes: 10 }, CALLER).size).toBe(10)
    expect(volume.heard).toEqual([
      'a: content',
      'a: opened to write',
      'a: truncated to 10',
      'a: released, 0 open, 0 writing',
    ])
  })

  it('is told both paths before a rename, and the new path afterwards', () => {
    const directory = tree.makeDirectory(ROOT, 'd', 0o755, CALLER)
    tree.release(create('a', directory.nodeId).opened.handle)
    tree.rename(ROOT, 'd', ROOT, 'e', false, CALLER)
    const found = tree.lookup(directory.nodeId, 'a')
    tree.release(tree.open(found?.nodeId ?? 0, O_RDONLY, false, CALLER).handle)
    expect(volume.heard.slice(3)).toEqual([
      'd: renamed to e/',
      'e/a: content',
      'e/a: opened to read',
      'e/a: released, 0 open, 0 writing',
    ])
  })

  it.each(['content', 'opened'])('can reject a new file (%s), and nothing of it stays', (when) => {
    const before = openDescriptors()
    volume.refuse = when
    expect(code(() => create('a'))).toBe('EROFS')
    expect(fs.readdirSync(root)).toEqual([])
    expect(openDescriptors()).toBe(before)
    expect(tree.nodeCount).toBe(1)
  })

  it('can reject a handle, a truncation, a removal and a rename, and nothing changes', () => {
    const { entry, opened } = create('a')
    tree.write(opened.handle, Buffer.from('content'), 0, false, CALLER)
    tree.release(opened.handle)
    const before = openDescriptors()
    for (const [refuse, action] of [
      ['opened', () => tree.open(entry.nodeId, O_WRONLY | O_TRUNC, false, CALLER)],
      ['truncated', () => tree.setAttributes(entry.nodeId, { sizeBytes: 0 }, CALLER)],
      ['unlinked', () => tree.unlink(ROOT, 'a', CALLER)],
      ['renamed', () => tree.rename(ROOT, 'a', ROOT, 'b', false, CALLER)],
    ] as const) {
      volume.refuse = refuse
      expect(code(action)).toBe('EROFS')
    }
    expect(fs.readFileSync(path.join(root, 'a'), 'utf8')).toBe('content')
    expect(openDescriptors()).toBe(before)
    expect(tree.nodes.find('a')?.id).toBe(entry.nodeId)
  })

  it('is told when its descriptor is closed, also if the first handle was rejected', () => {
    const { entry, opened } = create('a')
    tree.release(opened.handle)
    volume.heard.length = 0
    volume.refuse = 'opened'
    expect(code(() => tree.open(entry.nodeId, O_WRONLY | O_TRUNC, false, CALLER))).toBe('EROFS')
    expect(volume.heard.slice(1)).toEqual(['a: opened to write, truncating', 'a: released, 0 open, 0 writing'])
    volume.refuse = undefined
    expect(code(() => tree.unlink(ROOT, 'a', CALLER))).toBeUndefined()
  })

  it('leaks no descriptor if its last release fails', () => {
    const { entry, opened } = create('a')
    const before = openDescriptors()
    volume.refuse = 'released'
    expect(code(() => tree.release(opened.handle))).toBe('EROFS')
    volume.refuse = undefined
    expect(openDescriptors()).toBe(before - 1)
    expect(tree.getAttributes(entry.nodeId).size).toBe(0)
  })
})

describe('node ids', () => {
  it('last until a file is forgotten as often as it was looked up, and are never reused', () => {
    const { entry, opened } = create('a')
    expect(tree.lookup(ROOT, 'a')?.nodeId).toBe(entry.nodeId)
    tree.release(opened.handle)
    tree.forget(entry.nodeId, 1)
    expect(tree.lookup(ROOT, 'a')?.nodeId).toBe(entry.nodeId)
    tree.forget(entry.nodeId, 2)
    expect(code(() => tree.getAttributes(entry.nodeId))).toBe('ESTALE')
    expect(tree.lookup(ROOT, 'a')?.nodeId).toBeGreaterThan(entry.nodeId)
  })

  it('of a directory last while a file below it is known', () => {
    const directory = tree.makeDirectory(ROOT, 'd', 0o755, CALLER)
    const file = create('a', directory.nodeId)
    tree.forget(directory.nodeId, 1)
    expect(tree.lookup(ROOT, 'd')?.nodeId).toBe(directory.nodeId)
    expect(tree.lookup(directory.nodeId, 'a')?.nodeId).toBe(file.entry.nodeId)
    tree.forget(directory.nodeId, 1)
    tree.release(file.opened.handle)
    tree.forget(file.entry.nodeId, 2)
    expect(tree.nodeCount).toBe(1)
  })

  it('change when another file takes the name, by rename or behind the mount', () => {
    const a = create('a').entry.nodeId
    const b = create('b').entry.nodeId
    tree.rename(ROOT, 'a', ROOT, 'b', false, CALLER)
    expect(tree.lookup(ROOT, 'b')?.nodeId).toBe(a)
    expect(tree.nodes.find('a')).toBeUndefined()
    expect(tree.getAttributes(b).nlink).toBe(0)
    fs.writeFileSync(path.join(root, 'other'), '')
    fs.renameSync(path.join(root, 'other'), path.join(root, 'b'))
    expect(tree.lookup(ROOT, 'b')?.nodeId).toBeGreaterThan(b)
  })
})

describe('a file outside the backing directory', () => {
  it('is not reached through a symbolic link in the place of a file', () => {
    const outside = fs.mkdtempSync(path.join(tmpdir(), 'ltxd-outside-'))
    try {
      fs.writeFileSync(path.join(outside, 'secret'), 'secret', { mode: 0o600 })
      const { entry, opened } = create('a')
      tree.release(opened.handle)
      fs.unlinkSync(path.join(root, 'a'))
      fs.symlinkSync(path.join(outside, 'secret'), path.join(root, 'a'))
      expect(code(() => tree.open(entry.nodeId, O_RDONLY, false, CALLER))).toBe('ELOOP')
      expect(code(() => tree.setAttributes(entry.nodeId, { sizeBytes: 0 }, CALLER))).toBe('ELOOP')
      tree.setAttributes(entry.nodeId, { mode: 0o777, mtime: 1 }, CALLER)
      const secret = fs.statSync(path.join(outside, 'secret'))
      expect([secret.size, secret.mode & 0o777]).toEqual([6, 0o600])
      expect(secret.mtimeMs).toBeGreaterThan(1000)
      expect(tree.lookup(ROOT, 'a')?.attributes.mode).toBe(fs.lstatSync(path.join(root, 'a')).mode)
    } finally {
      fs.rmSync(outside, { recursive: true })
    }
  })
})

describe('the end', () => {
  it('releases all open handles', () => {
    const before = openDescriptors()
    create('a')
    create('b')
    tree.close()
    expect(openDescriptors()).toBe(before)
    expect(volume.heard.filter((said) => said.includes('released'))).toHaveLength(2)
  })
})

describe('syncing a directory', () => {
  const syncs = (id: number) => {
    volume.heard.length = 0
    tree.syncDirectory(id)
    return volume.heard.length > 0
  }

  it('happens once after a change of its names, and not after a change of its files', () => {
    const directory = tree.makeDirectory(ROOT, 'd', 0o755, CALLER).nodeId
    expect([syncs(ROOT), syncs(ROOT)]).toEqual([true, false])
    const changes: [what: string, change: () => void][] = [
      ['create', () => tree.release(create('a').opened.handle)],
      ['mknod', () => void tree.makeNode(ROOT, 'n', 0o100644, CALLER)],
      ['mkdir', () => void tree.makeDirectory(ROOT, 'e', 0o755, CALLER)],
      ['symlink', () => void tree.makeSymlink(ROOT, 's', 'a', CALLER)],
      ['rename', () => tree.rename(ROOT, 'a', ROOT, 'b', false, CALLER)],
      ['move out', () => tree.rename(ROOT, 'b', directory, 'b', false, CALLER)],
      ['unlink', () => tree.unlink(ROOT, 'n', CALLER)],
      ['rmdir', () => tree.removeDirectory(ROOT, 'e')],
    ]
    for (const [what, change] of changes) {
      change()
      expect([syncs(ROOT), syncs(ROOT)], what).toEqual([true, false])
    }
    expect([syncs(directory), syncs(directory)], 'what was moved in').toEqual([true, false])
    const file = tree.lookup(directory, 'b')?.nodeId as number
    const { handle } = tree.open(file, O_RDWR, false, CALLER)
    tree.write(handle, Buffer.from('x'), 0, false, CALLER)
    expect(syncs(directory)).toBe(false)
  })

  it('stays due after a failure, or if the volume skipped it', () => {
    volume.refuse = 'synced'
    expect(() => tree.syncDirectory(ROOT)).toThrow('refused')
    volume.refuse = undefined
    expect(syncs(ROOT)).toBe(true)
    create('a')
    volume.syncDirectory = () => volume.say('left out')
    expect([syncs(ROOT), syncs(ROOT)]).toEqual([true, true])
  })
})
