/**
 * Directories of root's that another user, who may write to one above them, moves: no link in them is followed, and no
 * mode of theirs is widened.
 */

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DirectoryStore } from '../../src/objectstore/directory/store.ts'
import { groupIn } from '../../src/util/group.ts'
import { findDirectory, pathOf } from '../../src/util/named-directory.ts'
import { modesOf } from '../../src/util/private-files.ts'
import { isFixed } from '../../src/util/trusted-link.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { NOBODY } from './nobody.ts'

const UID = 65_534
const MOVABLE = /symbolic link at a place to which another user may write.* leads to .*victim/
const asRoot = test.runIf(IS_ROOT)
let dir: string
let place: string

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-moved-')))
  fs.chmodSync(dir, 0o755)
  place = join(dir, 'place')
  for (const name of ['place', 'victim']) fs.mkdirSync(join(dir, name))
})

afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

function asNobody(...command: string[]): void {
  const [first, ...rest] = NOBODY
  execFileSync(first, [...rest, ...command], { cwd: place, timeout: 20_000 })
}

function found(path: string): string | undefined {
  const fd = findDirectory(path)
  if (fd === undefined) return undefined
  try {
    return pathOf(fd)
  } finally {
    fs.closeSync(fd)
  }
}

const places: [what: string, uid: number, gid: number, mode: number][] = [
  ['of another user', UID, UID, 0o755],
  ['of root’s, to which everybody may write', 0, 0, 0o777],
  ['of root’s, to which a group may write', 0, UID, 0o775],
]

function open(uid: number, gid: number, mode: number): void {
  fs.chownSync(place, uid, gid)
  fs.chmodSync(place, mode)
}

asRoot.each(places)('in a directory %s, a link in a directory of root’s is not followed', (_, uid, gid, mode) => {
  fs.mkdirSync(join(place, 'tools'))
  fs.symlinkSync(join(dir, 'victim'), join(place, 'tools', 'data'))
  expect(found(join(place, 'tools', 'data'))).toBe(join(dir, 'victim'))
  open(uid, gid, mode)
  asNobody('mv', 'tools', 'out')
  expect(() => found(join(place, 'out', 'data'))).toThrow(MOVABLE)
})

asRoot.each([...places.slice(1), ['of root’s and its group’s', 0, 0, 0o775] as const])(
  'a link in a directory %s is not followed',
  (_, uid, gid, mode) => {
    fs.symlinkSync(join(dir, 'victim'), join(place, 'data'))
    open(uid, gid, mode)
    expect(() => found(join(place, 'data'))).toThrow(MOVABLE)
  },
)

asRoot.each(places)('in a directory %s, a backup of root’s that is moved is not opened', async (_, uid, gid, mode) => {
  const put = (name: string, object: string, options = {}) =>
    new DirectoryStore(join(place, name), options).put(`a.db/ltx/0/${object}.ltx`, Buffer.from('x'))
  await put('private', 'x')
  await put('shared', 'x')
  fs.chmodSync(join(place, 'shared'), 0o750)
  open(uid, gid, mode)
  asNobody('sh', '-c', 'mv private wide; mv shared like')
  await put('wide', 'y', { modes: modesOf(0o755) })
  await put('like', 'y')
  const modeOf = (name: string) => (fs.statSync(join(place, name)).mode & 0o777).toString(8)
  expect([modeOf('wide'), modeOf('like'), modeOf('wide/a.db/ltx/0/x.ltx')]).toEqual(['700', '700', '600'])
})

asRoot('what root makes, its sticky directories, and those of its own groups are as before', () => {
  fs.mkdirSync(join(place, 'own'))
  fs.symlinkSync(join(dir, 'victim'), join(place, 'own', 'data'))
  open(0, 0, 0o1777)
  expect(found(join(place, 'own', 'data'))).toBe(join(dir, 'victim'))
  for (const name of ['backup', 'backup/a.db', 'backup/a.db/ltx']) {
    fs.mkdirSync(join(place, name))
    fs.chownSync(join(place, name), 0, 4444)
    fs.chmodSync(join(place, name), 0o2770)
  }
  expect(groupIn(join(place, 'backup/a.db/ltx'))).toEqual({ gid: 4444, special: 0o2000 })
})

asRoot('a group that has the number of its user counts as that user, but for root’s', () => {
  const owns = ({ uid }: { uid: bigint }) => uid === BigInt(UID) || uid === 0n
  fs.mkdirSync(join(place, 'own'))
  const isFixedIn = (uid: number, gid: number) => {
    open(uid, gid, 0o775)
    return isFixed(join(place, 'own'), { owns })
  }
  expect([isFixedIn(UID, UID), isFixedIn(UID, 4444), isFixedIn(0, 0)]).toEqual([true, false, false])
})
