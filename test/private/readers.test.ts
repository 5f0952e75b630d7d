/**
 * `backup.mode` and `data.mode` say who reads what ltxd makes. Another user who owns a directory on the way, with a
 * setgid bit or a default access control list, does not.
 */

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDataDirectory } from '../../src/data/directory.ts'
import { DirectoryStore } from '../../src/objectstore/directory/store.ts'
import { filesBeneath } from '../../src/util/files-beneath.ts'
import { modesOf } from '../../src/util/private-files.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { NOBODY } from './nobody.ts'

const UID = 65_534
/** Of no user of the test but those that it names. */
const GROUP = 4242
const KEY = 'sec.db/ltx/9/x.ltx'
const GROUP_READS = modesOf(0o750)
let dir: string

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-readers-')))
  fs.chmodSync(dir, 0o755)
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

function directory(name: string, owner: [uid: number, gid: number], mode: number): string {
  const path = join(dir, name)
  fs.mkdirSync(path)
  fs.chownSync(path, ...owner)
  fs.chmodSync(path, mode)
  return path
}

/** Directories below a backup, which another user makes first. */
function madeFirst(root: string): void {
  for (const name of ['sec.db', 'sec.db/ltx', 'sec.db/ltx/9']) directory(`${root}/${name}`, [UID, UID], 0o2770)
}

/** A default access control list that gives nobody everything, as setfacl -d -m u:65534:rwx makes it. */
function handDown(path: string): void {
  const entries = [
    [1, 7, 0xffffffff],
    [2, 7, UID],
    [4, 0, 0xffffffff],
    [0x10, 7, 0xffffffff],
    [0x20, 0, 0xffffffff],
  ] as const
  const list = Buffer.alloc(4 + 8 * entries.length)
  list.writeUInt32LE(2)
  for (const [i, [tag, permissions, id]] of entries.entries()) {
    list.writeUInt16LE(tag, 4 + 8 * i)
    list.writeUInt16LE(permissions, 6 + 8 * i)
    list.writeUInt32LE(id, 8 + 8 * i)
  }
  const script = 'import os,sys; os.setxattr(sys.argv[1], "system.posix_acl_default", bytes.fromhex(sys.argv[2]))'
  execFileSync('python3', ['-c', script, path, list.toString('hex')])
}

/** What the user reads of the paths below the test's directory. */
function readable(user: readonly string[], ...names: string[]): string[] {
  const script = `for (const path of process.argv.slice(1)) try { require('fs').readFileSync(path); console.log(path) } catch {}`
  const [command = '', ...args] = [...user, process.execPath, '-e', script, ...names.map((name) => join(dir, name))]
  const found = execFileSync(command, args, { encoding: 'utf8', cwd: '/' })
  return found
    .split('\n')
    .filter(Boolean)
    .map((path) => path.slice(dir.length + 1))
}

const IN_GROUP = ['setpriv', '--reuid=65533', `--regid=${GROUP}`, '--clear-groups']
const METADATA = { metadata: { a: 'b' } }
const put = (path: string, modes = {}) => new DirectoryStore(path, modes).put(KEY, Buffer.from('secret'), METADATA)
const objects = (root: string) => [`${root}/${KEY}`, `${root}/${KEY}.meta.json`]

describe.runIf(IS_ROOT)('in a backup', () => {
  test('of another user, with his setgid bit and his group, he reads nothing', async () => {
    for (const name of ['bk', 'configured']) {
      directory(name, [UID, UID], 0o2750)
      madeFirst(name)
    }
    await put(join(dir, 'bk'))
    await put(join(dir, 'configured'), { modes: GROUP_READS })
    expect(readable(NOBODY, ...objects('bk'), ...objects('configured'))).toEqual([])
  })

  test('below a directory of another user with a setgid bit, he reads nothing', async () => {
    const above = directory('share', [UID, UID], 0o2755)
    await put(`${above}/made`, { modes: GROUP_READS })
    directory('share/first', [0, UID], 0o2750)
    await put(`${above}/first`)
    expect(readable(NOBODY, ...objects('share/made'), ...objects('share/first'))).toEqual([])
  })

  test('with directories that another user made in it first, he reads nothing', async () => {
    const root = directory('bk', [0, GROUP], 0o2770)
    madeFirst('bk')
    await put(root, { modes: modesOf(0o771) })
    expect(readable(NOBODY, ...objects('bk'))).toEqual([])
  })

  test('below a directory of another user with a default access control list, he reads nothing', async () => {
    const above = directory('share', [UID, UID], 0o755)
    handDown(above)
    await put(`${above}/made`, { modes: GROUP_READS })
    fs.mkdirSync(`${above}/narrow`, { mode: 0o700 })
    await put(`${above}/narrow`)
    await put(`${above}/narrow`, { modes: GROUP_READS })
    expect(readable(NOBODY, ...objects('share/made'), ...objects('share/narrow'))).toEqual([])
  })

  test('backup.mode in a setgid directory lets its group read what is below', async () => {
    const root = directory('bk', [0, GROUP], 0o2750)
    await put(root, { modes: GROUP_READS })
    expect(readable(IN_GROUP, ...objects('bk'))).toEqual(objects('bk'))
    expect(fs.statSync(join(root, 'sec.db')).mode & 0o7777).toBe(0o2750)
    await put(`${root}/below`, { modes: GROUP_READS })
    expect(readable(IN_GROUP, ...objects('bk/below'))).toEqual(objects('bk/below'))
    expect(readable(NOBODY, ...objects('bk'))).toEqual([])
  })

  test('a wider backup.mode opens what is there to the group of the backup', async () => {
    const root = directory('bk', [0, GROUP], 0o700)
    await put(root)
    await put(root, { modes: GROUP_READS })
    expect(readable(IN_GROUP, ...objects('bk'))).toEqual(objects('bk'))
  })
})

describe.runIf(IS_ROOT)('a wide backup.mode opens nothing', () => {
  const READABLE = modesOf(0o755)
  const files = (root: string) => [`${root}/id`, `${root}/old.db/ltx/0/id.ltx`]

  /** A directory of root's that root alone may read. */
  function other(name: string): string {
    const path = directory(name, [0, 0], 0o700)
    for (const file of files(name)) {
      fs.mkdirSync(join(dir, file, '..'), { recursive: true, mode: 0o700 })
      fs.writeFileSync(join(dir, file), 'key', { mode: 0o600 })
    }
    return path
  }

  test('that is not a backup’s', async () => {
    await put(other('backup'), { modes: READABLE })
    expect(readable(NOBODY, 'backup/id', ...objects('backup'))).toEqual(objects('backup'))
  })

  test('in a directory of another user, who can rename any directory into the place of the backup', async () => {
    const share = directory('share', [UID, UID], 0o755)
    await put(`${share}/backup`, { modes: READABLE })
    expect(readable(NOBODY, ...objects('share/backup'))).toEqual(objects('share/backup'))
    fs.renameSync(`${share}/backup`, `${share}/b0`)
    other('share/backup')
    await put(`${share}/backup`, { modes: READABLE })
    expect(readable(NOBODY, ...files('share/backup'))).toEqual([])
  })
})

describe.runIf(IS_ROOT)('in a data directory', () => {
  const make = (root: string) => {
    const files = filesBeneath(root, GROUP_READS)
    files.makeDirectory(`${root}/log/a.db`)
    files.close(files.open(`${root}/log/a.db/1.ltx`, fs.constants.O_RDWR | fs.constants.O_CREAT))
  }

  test('data.mode in a setgid directory lets its group read what is below', () => {
    make(directory('data', [0, GROUP], 0o2750))
    expect(readable(IN_GROUP, 'data/log/a.db/1.ltx')).toEqual(['data/log/a.db/1.ltx'])
    expect(fs.statSync(join(dir, 'data/log/a.db')).mode & 0o7777).toBe(0o2750)
  })

  test('of another user, with his setgid bit and his list, he reads nothing', () => {
    make(directory('data', [UID, UID], 0o2750))
    const listed = directory('listed', [UID, UID], 0o700)
    handDown(listed)
    make(listed)
    expect(readable(NOBODY, 'data/log/a.db/1.ltx', 'listed/log/a.db/1.ltx')).toEqual([])
  })

  /** Made anew, below a directory that is there. */
  const openNew = (path: string, mode?: number) =>
    openDataDirectory(join(dir, path), mode === undefined ? {} : { modes: modesOf(mode) }).close()
  /** `uid:gid:mode` of the directory, and of the one that the mount shows. */
  const shown = (path: string) =>
    [path, `${path}/files`].map((each) => {
      const { uid, gid, mode } = fs.statSync(join(dir, each))
      return `${uid}:${gid}:${(mode & 0o7777).toString(8)}`
    })

  test.each([
    ['setgid bit', 0o2755],
    ['list', 0o755],
  ])(
    'that is made below one of another user, with his %s, he reads nothing, and nothing has his group',
    (what, mode) => {
      const above = directory('share', [UID, UID], mode)
      if (what === 'list') handDown(above)
      openNew('share/wide', 0o750)
      openNew('share/narrow')
      openNew('share/above/deep', 0o750)
      expect(readable(NOBODY, ...['wide', 'narrow', 'above/deep'].map((name) => `share/${name}/node.json`))).toEqual([])
      expect(shown('share/wide')).toEqual(['0:0:750', '0:0:755'])
      expect(shown('share/narrow')).toEqual(['0:0:700', '0:0:755'])
      expect(shown('share/above/deep')).toEqual(['0:0:750', '0:0:755'])
      for (const name of ['wide', 'wide/files', 'narrow', 'narrow/files']) expect(lists(`${above}/${name}`)).toBe('')
    },
  )

  test('that is made with data.mode in a setgid directory of the operator’s, its group reads', () => {
    directory('operators', [0, GROUP], 0o2750)
    openNew('operators/data', 0o750)
    expect(shown('operators/data')).toEqual([`0:${GROUP}:2750`, `0:${GROUP}:2755`])
    expect(readable(IN_GROUP, 'operators/data/node.json')).toEqual(['operators/data/node.json'])
    expect(readable(NOBODY, 'operators/data/node.json')).toEqual([])
  })
})

/** The names of the access control lists that a directory has. */
function lists(path: string): string {
  const script = 'import os,sys; print(*[name for name in os.listxattr(sys.argv[1]) if "acl" in name])'
  return execFileSync('python3', ['-c', script, path], { encoding: 'utf8' }).trim()
}
