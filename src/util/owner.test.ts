import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { filesBeneath } from './files-beneath.ts'
import { formatOwner, giveTo, parseOwner } from './owner.ts'

const IS_ROOT = process.geteuid?.() === 0

let dir: string
beforeEach(() => (dir = fs.mkdtempSync(join(tmpdir(), 'ltxd-owner-'))))
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

function shown(path: string): string {
  const { uid, gid, mode } = fs.lstatSync(path)
  return `${uid}:${gid}:${(mode & 0o7777).toString(8)}`
}

function made(name: string, mode: number): string {
  const path = join(dir, name)
  fs.writeFileSync(path, '')
  fs.chmodSync(path, mode)
  return path
}

test('an owner reads back as it was written; whatever is none is not read, and gives no set-id bit', () => {
  for (const text of ['0:0:0', '65534:100:640', '4294967294:4294967294:777']) {
    expect(formatOwner(parseOwner(text) ?? { uid: 9, gid: 9, mode: 9 })).toBe(text)
  }
  expect(parseOwner('0:0:6755')).toEqual({ uid: 0, gid: 0, mode: 0o755 })
  for (const wrong of [
    '',
    '1',
    '1:2',
    '1:2:8',
    '-1:0:600',
    '1:2:3:4',
    '4294967295:0:600',
    'root:root:600',
    '0:0:17777',
  ]) {
    expect(parseOwner(wrong), wrong).toBeUndefined()
  }
})

test.skipIf(!IS_ROOT)('root gives a file away through a descriptor, and what is not said stays', () => {
  const path = made('a.db', 0o644)
  const files = filesBeneath(dir)
  expect(files.setOwner(path, { uid: 65534, gid: 65534, mode: 0o640 })).toBeUndefined()
  expect(shown(path)).toBe('65534:65534:640')
  expect(files.setOwner(path, { gid: 7 })).toBeUndefined()
  expect(shown(path)).toBe('65534:7:640')
  expect(files.setOwner(path, { mode: 0o444 })).toBeUndefined()
  expect(shown(path)).toBe('65534:7:444')
})

test.skipIf(!IS_ROOT)('a set-id bit is never given, and one that a file has does not stay', () => {
  const path = made('a.db', 0o4755)
  expect(filesBeneath(dir).setOwner(path, { mode: 0o700 })).toBeUndefined()
  expect(shown(path)).toBe('0:0:700')
})

test.skipIf(!IS_ROOT)('a directory keeps its special bits when it is given away', () => {
  fs.mkdirSync(join(dir, 'shared'))
  fs.chmodSync(join(dir, 'shared'), 0o1777)
  const fd = filesBeneath(dir).openDirectory(join(dir, 'shared'))
  expect(giveTo(fd, { uid: 65534, mode: 0o750 })).toBeUndefined()
  fs.closeSync(fd)
  expect(shown(join(dir, 'shared'))).toBe('65534:0:1750')
})

test.skipIf(!IS_ROOT)(
  'a file with another name is not given away: the other name may be where it was not to change',
  () => {
    const path = made('secret', 0o600)
    fs.linkSync(path, join(dir, 'a.db'))
    const reason = filesBeneath(dir).setOwner(join(dir, 'a.db'), { uid: 65534, mode: 0o644 })
    expect(reason).toBe(
      '0:0 with mode 0600 stays, not 65534:0 with mode 0644: the file is a hard link to one that has another name, too',
    )
    expect(shown(path)).toBe('0:0:600')
  },
)

test.skipIf(!IS_ROOT)('what cannot be given away stays as it is, with the reason', () => {
  const path = made('a.db', 0o640)
  fs.chownSync(path, 65534, 65534)
  const fd = fs.openSync('/proc/self/mounts', 'r')
  try {
    expect(giveTo(fd, { uid: 1 })).toMatch(/ stays, not 1:\d+ with mode .*: chown fails with E/)
  } finally {
    fs.closeSync(fd)
  }
  expect(shown(path)).toBe('65534:65534:640')
})
