import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nativeLocks } from '../../util/native-locks.ts'
import { objectStoreConformance } from '../conformance.ts'
import { StoreUnavailableError } from '../errors.ts'
import { DirectoryStore } from './store.ts'

let parent = ''
let count = 0
const freshRoot = () => join(parent, `store-${count++}`, 'not', 'made yet')

async function keysOf(store: DirectoryStore): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  return keys
}

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'ltxd-objectstore-'))
})
afterAll(() => rm(parent, { recursive: true, force: true }))

objectStoreConformance('a directory', async () => new DirectoryStore(freshRoot()))

describe('a directory', () => {
  it('stores the object’s time as modification time, exact to the millisecond and never before it', async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    for (const timestampMs of [0, 1, 1_700_000_000_123, 1_784_567_890_999, 1_784_567_890_001]) {
      await store.put('t', Buffer.from('x'), { timestampMs })
      expect((await store.head('t'))?.lastModifiedMs).toBe(timestampMs)
      const { mtimeNs } = await stat(join(root, 't'), { bigint: true })
      expect(mtimeNs >= BigInt(timestampMs) * 1_000_000n).toBe(true)
      expect(mtimeNs < BigInt(timestampMs + 1) * 1_000_000n).toBe(true)
    }
  })

  it('leaves only the object, its sidecar and the lock', async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    await store.put('d/x.ltx', Buffer.from('x'), { metadata: { a: 'b' } })
    expect((await readdir(join(root, 'd'))).sort()).toEqual(['.ltxd-lock', 'x.ltx', 'x.ltx.meta.json'])
    await store.delete(['d/x.ltx'])
    expect(await readdir(join(root, 'd'))).toEqual(['.ltxd-lock'])
  })

  it('ignores metadata of other content', async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    await store.put('x.ltx', Buffer.from('written by us'), { metadata: { a: 'b' } })
    await writeFile(join(root, 'x.ltx'), 'written by them')
    expect((await store.head('x.ltx'))?.metadata).toEqual({})
    for (const damage of ['', '{', 'null', '{"sizeBytes":15}', 'x'.repeat(100_000)]) {
      await writeFile(join(root, 'x.ltx.meta.json'), damage)
      expect((await store.head('x.ltx'))?.metadata).toEqual({})
    }
  })

  it('rejects metadata of a later format, and reads that of version 0.1, which has no number', async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    await store.put('x.ltx', Buffer.from('x'), { metadata: { a: 'b' } })
    const path = join(root, 'x.ltx.meta.json')
    const { format, checksum: _, ...sidecar } = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
    expect(format).toBe(1)
    await writeFile(path, JSON.stringify(sidecar))
    expect((await store.head('x.ltx'))?.metadata).toEqual({ a: 'b' })
    await writeFile(path, JSON.stringify({ format: 2, ...sidecar }))
    await expect(store.head('x.ltx')).rejects.toThrow(`${path} has format 2, but ltxd`)
  })

  it('hides temporary files of dead processes, and removes them after a day', async () => {
    const root = freshRoot()
    await new DirectoryStore(root).put('d/x', Buffer.from('x'))
    await writeFile(join(root, 'd', '.ltxd-tmp-left'), 'half')
    const store = new DirectoryStore(root)
    expect(await keysOf(store)).toEqual(['d/x'])
    await store.put('d/y', Buffer.from('y'))
    expect(await readdir(join(root, 'd'))).toContain('.ltxd-tmp-left')
    const tomorrow = new DirectoryStore(root, { now: () => Date.now() + 25 * 3_600_000 })
    await tomorrow.put('d/z', Buffer.from('z'))
    expect(await readdir(join(root, 'd'))).not.toContain('.ltxd-tmp-left')
  })

  it('does not follow symbolic links', async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    await store.put('d/x', Buffer.from('x'))
    await symlink(parent, join(root, 'd', 'loop'))
    expect(await keysOf(store)).toEqual(['d/x'])
  })

  it('lists beside directories that are nested as deep as a disk allows', { timeout: 60_000 }, async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    await store.put('app.db/ltx/0/x.ltx', Buffer.from('x'))
    const nest = "import os, sys; os.chdir(sys.argv[1])\nfor _ in range(2000): os.mkdir('d'); os.chdir('d')"
    execFileSync('python3', ['-c', nest, join(root, 'app.db/ltx')])
    const startMs = performance.now()
    expect(await keysOf(store)).toEqual(['app.db/ltx/0/x.ltx'])
    const tookMs = performance.now() - startMs
    execFileSync('rm', ['-rf', root])
    expect(tookMs).toBeLessThan(2500)
  })

  it('waits for the lock of another process no longer than the signal allows', async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    await store.put('d/x', Buffer.from('x'))
    const held = openSync(join(root, 'd/.ltxd-lock'), 'r+')
    expect(nativeLocks().tryLock(held)).toBe(true)
    const stop = new AbortController()
    const puts = ['d/y', 'd/z'].map((key) => store.put(key, Buffer.from('y'), { signal: stop.signal }))
    setTimeout(() => stop.abort(new Error('the node stops')), 100)
    await Promise.all(puts.map((put) => expect(put).rejects.toThrow('the node stops')))
    closeSync(held)
    await store.put('d/y', Buffer.from('y'))
    expect(await keysOf(store)).toEqual(['d/x', 'd/y'])
  })

  it('looks at an object when it is its turn in the listing', async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    for (const name of ['a', 'b', 'c']) await store.put(`d/${name}`, Buffer.from('x'))
    const found = []
    for await (const info of store.list('d/')) {
      found.push(info.key)
      await rm(join(root, 'd/b'), { force: true })
    }
    expect(found).toEqual(['d/a', 'd/c'])
  })

  it('reports the action, and what to do, when the directory cannot be written', async () => {
    const root = freshRoot()
    const store = new DirectoryStore(root)
    await store.put('file', Buffer.from('x'))
    const put = store.put('file/below', Buffer.from('x'))
    await expect(put).rejects.toBeInstanceOf(StoreUnavailableError)
    await expect(put).rejects.toThrow(/file\/below.*a file where a directory was expected/)
    expect(await readFile(join(root, 'file'), 'utf8')).toBe('x')
  })
})
