/**
 * The directories that an operator names lie in one of another user's, who puts links there, and in what others may
 * write to. Nothing that a link leads to is read, written, or given another mode.
 */

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDataDirectory } from '../../src/data/directory.ts'
import { OutputFile } from '../../src/image/output-file.ts'
import { withRoot } from '../../src/objectstore/directory/beneath.ts'
import { DirectoryStore } from '../../src/objectstore/directory/store.ts'
import { StoreUnavailableError } from '../../src/objectstore/errors.ts'
import { modesOf, PRIVATE } from '../../src/util/private-files.ts'
import { inOutputDirectory } from '../../workers/output-directory.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { NOBODY } from './nobody.ts'

const UID = 65_534
const WIDE = modesOf(0o755)
let dir: string
/** Belongs to nobody. */
let home: string
/** Belongs to root, who alone may look into it. */
let victim: string

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-named-')))
  home = join(dir, 'home')
  victim = join(dir, 'victim')
  fs.mkdirSync(home)
  fs.chownSync(home, UID, UID)
  fs.mkdirSync(join(victim, 'below'), { recursive: true, mode: 0o700 })
  fs.writeFileSync(join(victim, 'secret'), 'of root', { mode: 0o600 })
  fs.writeFileSync(join(victim, 'below', 'secret'), 'of root', { mode: 0o600 })
})

afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

/** Every name below the directory, with its mode and content. */
function picture(directory = victim): string[] {
  return fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => {
    const found = fs.lstatSync(join(directory, name))
    const content = found.isFile() ? fs.readFileSync(join(directory, name), 'utf8') : ''
    return `${name} ${found.mode.toString(8)} ${content}`
  })
}

function link(target: string, path: string, uid = UID): void {
  fs.symlinkSync(target, path)
  fs.lchownSync(path, uid, uid)
}

function asNobody(command: string, ...args: string[]): string {
  const [first, ...rest] = [...NOBODY, command, ...args]
  return execFileSync(first, rest, { cwd: home, encoding: 'utf8', timeout: 20_000 })
}

async function keysOf(store: DirectoryStore): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  return keys
}

const backup = (path: string) => new DirectoryStore(path, { modes: WIDE })
const put = (path: string, key = 'a.db/ltx/0/x.ltx') =>
  backup(path).put(key, Buffer.from('object'), { metadata: { a: 'b' } })

const opened: [what: string, open: (path: string) => unknown][] = [
  ['a data directory', (path) => openDataDirectory(path, { modes: WIDE }).close()],
  ['a backup', (path) => put(path)],
  ['a backup that is read', (path) => backup(path).head('secret')],
  ['a backup that is listed', (path) => keysOf(backup(path))],
  ['the directory of an output', async (path) => (await OutputFile.create(join(path, 'new.db'))).discard()],
  ['an output directory', (path) => inOutputDirectory(path, 'authorized_keys', (at) => fs.promises.writeFile(at, 'x'))],
]

describe.runIf(IS_ROOT)('through a link of another user', () => {
  test.each(opened)('%s is not found', async (_, open) => {
    const before = picture()
    link(victim, join(home, 'link'))
    for (const path of [join(home, 'link'), join(home, 'link', 'below'), join(home, 'link', 'new')]) {
      await expect((async () => open(path))()).rejects.toThrow(/symbolic link of the user with id 65534/)
    }
    expect(picture()).toEqual(before)
  })

  test.each(opened)('that root made elsewhere, and another user moved there, %s is not found', async (_, open) => {
    fs.chmodSync(dir, 0o755)
    fs.mkdirSync(join(dir, 'sticky'))
    fs.chmodSync(join(dir, 'sticky'), 0o1777)
    const before = picture()
    for (const place of [home, join(dir, 'sticky')]) {
      link(victim, join(home, 'tools'), 0)
      asNobody('mv', '-T', join(home, 'tools'), join(place, 'out'))
      for (const path of [join(place, 'out'), join(place, 'out', 'below'), join(place, 'out', 'new')]) {
        await expect((async () => open(path))()).rejects.toThrow(/to which another user may write.* leads to .*victim/)
      }
    }
    expect(picture()).toEqual(before)
  })

  test.each(opened)('of root or the user that runs ltxd, %s is found', async (_, open) => {
    fs.mkdirSync(join(dir, 'real'))
    link(join(dir, 'real'), join(dir, 'link'), 0)
    await open(join(dir, 'link'))
  })
})

describe.runIf(IS_ROOT)('in a backup', () => {
  const root = () => join(dir, 'backup')
  const key = 'a.db/ltx/0/x.ltx'

  beforeEach(() => put(root(), key))

  test.each(['a.db', 'a.db/ltx', 'a.db/ltx/0'])('the link %s leads nowhere', async (name) => {
    const before = picture()
    fs.rmSync(join(root(), name), { recursive: true })
    link(victim, join(root(), name))
    const below = `${name}/secret`
    const store = backup(root())
    for (const use of [
      () => put(root(), below),
      () => store.head(below),
      () => store.get(below),
      () => store.delete([below]),
    ]) {
      await expect(use()).rejects.toThrow(StoreUnavailableError)
    }
    expect(await keysOf(store)).toEqual([])
    expect(picture()).toEqual(before)
  })

  test('a lock that is a link is not opened', async () => {
    const before = picture()
    for (const target of ['secret', 'made']) {
      const lock = join(root(), 'a.db/ltx/0/.ltxd-lock')
      fs.unlinkSync(lock)
      link(join(victim, target), lock)
      await expect(put(root(), 'a.db/ltx/0/y.ltx')).rejects.toThrow(StoreUnavailableError)
    }
    expect(picture()).toEqual(before)
  })

  test('an object that is a link is none', async () => {
    const path = join(root(), key)
    fs.unlinkSync(path)
    link(join(victim, 'secret'), path)
    expect(await backup(root()).head(key)).toBeUndefined()
    await expect(backup(root()).get(key)).rejects.toThrow(/no object/)
  })
})

test('what is no file beside an object, or in its place, is waited for by nobody, nor read without end', async () => {
  const root = join(dir, 'backup')
  const path = join(root, 'a.db/ltx/0/x.ltx')
  await put(root)
  const pipe = (at: string) => {
    fs.rmSync(at)
    execFileSync('mkfifo', [at])
  }
  pipe(`${path}.meta.json`)
  await expect(backup(root).head('a.db/ltx/0/x.ltx')).rejects.toThrow(/a named pipe, and a regular file was expected/)
  fs.rmSync(`${path}.meta.json`)
  fs.symlinkSync('/dev/zero', `${path}.meta.json`)
  await expect(backup(root).head('a.db/ltx/0/x.ltx')).rejects.toThrow(StoreUnavailableError)
  fs.rmSync(`${path}.meta.json`)
  pipe(join(root, 'a.db/ltx/0/.ltxd-lock'))
  await expect(put(root, 'a.db/ltx/0/y.ltx')).rejects.toThrow(/a named pipe/)
  pipe(path)
  expect(await backup(root).head('a.db/ltx/0/x.ltx')).toBeUndefined()
  await expect(backup(root).get('a.db/ltx/0/x.ltx')).rejects.toThrow(/no object/)
})

test('a lock is not for those who may only read', async () => {
  const root = join(dir, 'backup')
  await put(root)
  const modeOf = (path: string) => (fs.statSync(path).mode & 0o777).toString(8)
  const lock = join(root, 'a.db/ltx/0/.ltxd-lock')
  expect([modeOf(root), modeOf(lock)]).toEqual(['755', '600'])
  // As version 0.1 made it.
  fs.chmodSync(lock, 0o644)
  await put(root)
  expect(modeOf(lock)).toBe('600')
  fs.chmodSync(root, 0o700)
  await put(root)
  expect([modeOf(root), modeOf(lock)]).toEqual(['755', '600'])
  const data = openDataDirectory(join(dir, 'data'), { modes: PRIVATE })
  data.close()
  openDataDirectory(join(dir, 'data'), { modes: WIDE }).close()
  expect([modeOf(join(dir, 'data')), modeOf(join(dir, 'data', 'lock'))]).toEqual(['755', '600'])
})

describe.runIf(IS_ROOT)('a directory that another user owns', () => {
  const give = (path: string) => {
    fs.mkdirSync(path, { recursive: true })
    fs.chownSync(path, UID, UID)
  }

  test('is used for a backup, and said', async () => {
    const said: string[] = []
    give(join(home, 'backup'))
    const store = new DirectoryStore(join(home, 'backup'), { changed: (message) => said.push(message) })
    await store.put('x', Buffer.from('x'))
    const owners = said.filter((line) => line.includes('belongs to the user with id 65534'))
    expect(owners).toEqual([expect.stringContaining(join(home, 'backup'))])
  })

  test('is no data directory of root, and nothing is made in it', () => {
    const data = join(home, 'data')
    give(data)
    const message = `${data} belongs to the user with id 65534, who could .* "chown root ${data}"`
    expect(() => openDataDirectory(data)).toThrow(new RegExp(message))
    expect(fs.readdirSync(data)).toEqual([])
    fs.chownSync(data, 0, 0)
    openDataDirectory(data).close()
  })

  test('has no part of the data of root but the files of applications', () => {
    const data = join(home, 'data')
    openDataDirectory(data).close()
    give(join(data, 'files'))
    openDataDirectory(data).close()
    for (const name of ['log', 'diverged']) {
      give(join(data, name))
      expect(() => openDataDirectory(data)).toThrow(`${data}/${name} belongs to the user with id 65534`)
      fs.chownSync(join(data, name), 0, 0)
    }
    openDataDirectory(data).close()
  })
})

test('an error of a file in a backup names the backup as the operator did', async () => {
  const read = withRoot(dir, (at) => fs.promises.readFile(`${at}/missing`))
  await expect(read).rejects.toThrow(`open '${dir}/missing'`)
})

test('a backup that is removed or replaced while it is used is made anew', async () => {
  const root = join(dir, 'backup')
  const store = new DirectoryStore(root)
  await store.put('a/x.ltx', Buffer.from('x'))
  fs.renameSync(root, `${root}-gone`)
  await store.put('a/y.ltx', Buffer.from('y'))
  expect(await keysOf(store)).toEqual(['a/y.ltx'])
  fs.rmSync(root, { recursive: true })
  fs.writeFileSync(root, 'no directory')
  await expect(store.put('a/z.ltx', Buffer.from('z'))).rejects.toThrow(StoreUnavailableError)
})

test('an object that is put while the directory moves away was not put', async () => {
  const root = join(dir, 'backup')
  const store = new DirectoryStore(root)
  await store.put('a/x.ltx', Buffer.from('x'))
  async function* body() {
    fs.renameSync(root, `${root}-gone`)
    fs.mkdirSync(root)
    yield await Promise.resolve(Buffer.from('y'))
  }
  await expect(store.put('a/y.ltx', body())).rejects.toThrow(/was moved or replaced meanwhile/)
  await store.put('a/y.ltx', Buffer.from('y'))
  expect(await keysOf(store)).toEqual(['a/y.ltx'])
})

test('a directory is found through /proc where its descriptor leads, not where a path of that text does', async () => {
  const held = fs.openSync(dir, fs.constants.O_RDONLY)
  fs.renameSync(home, join(dir, 'moved'))
  try {
    await put(`/proc/self/fd/${held}/backup`)
    await put(`/proc/${process.pid}/root${dir}/other`)
  } finally {
    fs.closeSync(held)
  }
  expect(fs.readdirSync(dir).sort()).toEqual(['backup', 'moved', 'other', 'victim'])
})
