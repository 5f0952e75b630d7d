import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nodeFiles } from '../../util/files.ts'
import { StoreUnavailableError } from '../errors.ts'
import { DirectoryStore } from './store.ts'

let dir: string
let root: string
let memory: { files: typeof nodeFiles; path: string }

beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), 'ltxd-identity-'))
  root = join(dir, 'mnt/backup')
  memory = { files: nodeFiles, path: join(dir, 'backup.json') }
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

/** A node that starts. */
const open = () => new DirectoryStore(root, { memory })
const put = (store: DirectoryStore, key: string) => store.put(key, Buffer.from('x'))

async function keysOf(store: DirectoryStore): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  return keys
}

async function isAway(store: DirectoryStore, why: RegExp): Promise<void> {
  for (const use of [
    () => keysOf(store),
    () => put(store, 'a.db/2'),
    () => store.head('a.db/1'),
    () => store.get('a.db/1'),
    () => store.delete(['a.db/1']),
  ]) {
    await expect(use()).rejects.toBeInstanceOf(StoreUnavailableError)
    await expect(use()).rejects.toThrow(why)
  }
}

test.each([
  ['its directory is gone', () => undefined, /it does not exist/],
  ['its disk is not mounted', () => fs.mkdirSync(root), /it has no file \.ltxd-backup/],
  [
    'another directory is in its place',
    () => fs.mkdirSync(join(root, 'other.db/ltx'), { recursive: true }),
    /it has no file \.ltxd-backup/,
  ],
])('a backup is away, and nothing is written, where %s', async (_, replace, why) => {
  const store = open()
  await put(store, 'a.db/1')
  fs.renameSync(root, join(dir, 'away'))
  replace()
  const before = fs.readdirSync(join(dir, 'mnt'), { recursive: true })
  await isAway(store, why)
  await isAway(open(), why)
  expect(fs.readdirSync(join(dir, 'mnt'), { recursive: true })).toEqual(before)
  fs.rmSync(root, { recursive: true, force: true })
  fs.renameSync(join(dir, 'away'), root)
  for (const one of [store, open()]) {
    await put(one, 'a.db/2')
    expect(await keysOf(one)).toEqual(['a.db/1', 'a.db/2'])
  }
})

test('a backup is away where another backup is in its place, or its file is damaged', async () => {
  const store = open()
  await put(store, 'a.db/1')
  fs.renameSync(root, join(dir, 'away'))
  await put(new DirectoryStore(root, { memory: { ...memory, path: join(dir, 'other.json') } }), 'a.db/9')
  await isAway(store, /\.ltxd-backup in it has another id\. Mount its disk.*remove \S+backup\.json/)
  fs.writeFileSync(join(root, '.ltxd-backup'), 'damaged')
  await isAway(store, /\.ltxd-backup in it cannot be read/)
  fs.rmSync(join(root, '.ltxd-backup'))
  fs.symlinkSync('/dev/zero', join(root, '.ltxd-backup'))
  await isAway(open(), /\.ltxd-backup in it cannot be read/)
  expect(fs.readdirSync(join(root, 'a.db'))).toContain('9')
})

test('a new backup begins once the operator removes what the node remembers', async () => {
  const store = open()
  await put(store, 'a.db/1')
  fs.rmSync(root, { recursive: true })
  await isAway(store, /it does not exist/)
  fs.rmSync(memory.path)
  await put(store, 'a.db/2')
  expect(await keysOf(store)).toEqual(['a.db/2'])
  expect(await keysOf(open())).toEqual(['a.db/2'])
  expect(fs.existsSync(memory.path)).toBe(true)
})

test('an emptied backup that still has its id is there', async () => {
  const store = open()
  await put(store, 'a.db/1')
  fs.rmSync(join(root, 'a.db'), { recursive: true })
  expect(await keysOf(store)).toEqual([])
  await put(store, 'a.db/2')
  expect(await keysOf(open())).toEqual(['a.db/2'])
})

test('a backup of a former version is used as it is, and has an id from the first put on', async () => {
  await new DirectoryStore(root).put('a.db/1', Buffer.from('x'))
  const store = open()
  expect(await keysOf(store)).toEqual(['a.db/1'])
  expect(fs.existsSync(memory.path)).toBe(false)
  await put(store, 'a.db/2')
  fs.renameSync(root, join(dir, 'away'))
  await isAway(store, /it does not exist/)
})

test('nodes that begin a backup at once, and one that only reads it, remember the same', async () => {
  const paths = ['a.json', 'b.json', 'c.json'].map((name) => join(dir, name))
  const stores = paths.map((path) => new DirectoryStore(root, { memory: { ...memory, path } }))
  await Promise.all(stores.slice(0, 2).map((store, i) => put(store, `a.db/${i}`)))
  expect(await Promise.all(stores.map(keysOf))).toEqual(stores.map(() => ['a.db/0', 'a.db/1']))
  const [a, b, c] = paths.map((path) => fs.readFileSync(path, 'utf8'))
  expect([b, c]).toEqual([a, a])
})

test('another URL is another backup', async () => {
  await put(open(), 'a.db/1')
  root = join(dir, 'elsewhere')
  await put(open(), 'a.db/1')
  expect(await keysOf(open())).toEqual(['a.db/1'])
})
