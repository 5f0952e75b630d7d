import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { NewFile, OutputError, OutputExistsError } from './new-file.ts'

const NOBODY = 65_534
const isRoot = process.geteuid?.() === 0

let dir: string
let path: string
let umask: number

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ltxd-new-'))
  path = join(dir, 'out')
  // What gets less than 0666 is meant to.
  umask = process.umask(0)
})

afterEach(() => {
  process.umask(umask)
  rmSync(dir, { recursive: true })
})

const modeOf = (file: string) => (statSync(file).mode & 0o7777).toString(8)

/** `meanwhile` runs before the file appears. */
async function make(replace: boolean, meanwhile: () => void = () => undefined): Promise<void> {
  const file = await NewFile.create(path, { replace })
  try {
    expect((await file.handle.stat()).mode & 0o077 & ~OWN_MODE).toBe(0)
    await file.handle.writeFile('secret')
    meanwhile()
    await file.publish()
  } finally {
    await file.discard()
  }
}
const OWN_MODE = 0o640

const leftOver = () => readdirSync(dir).filter((name) => name.includes('.ltxd-'))

test('a new file is private', async () => {
  await make(false)
  expect(modeOf(path)).toBe('600')
})

test('a replaced file of this user keeps its mode', async () => {
  writeFileSync(path, 'old')
  chmodSync(path, OWN_MODE)
  await make(true)
  expect([modeOf(path), readFileSync(path, 'utf8')]).toEqual(['640', 'secret'])
})

/** Where others may write to the directory, as to /tmp, they were there first. */
describe('the mode is not taken from', () => {
  test.runIf(isRoot)('a file of another user', async () => {
    writeFileSync(path, '')
    chmodSync(path, 0o666)
    chownSync(path, NOBODY, NOBODY)
    await make(true)
    expect(modeOf(path)).toBe('600')
    expect(statSync(path).uid).toBe(0)
  })

  test('a file with another name', async () => {
    const other = join(dir, 'other')
    writeFileSync(other, 'other')
    chmodSync(other, 0o644)
    linkSync(other, path)
    await make(true)
    expect([modeOf(path), readFileSync(other, 'utf8'), modeOf(other)]).toEqual(['600', 'other', '644'])
  })

  test.each(['777', '1777', '770'])('a file in a directory of mode %s, where others may write', async (mode) => {
    writeFileSync(path, 'for everybody')
    chmodSync(path, 0o644)
    chmodSync(dir, Number.parseInt(mode, 8))
    await make(true)
    expect(modeOf(path)).toBe('600')
  })

  test.runIf(isRoot)('a file of root’s own that the owner of the directory has moved there', async () => {
    const theirs = join(dir, 'theirs')
    mkdirSync(theirs)
    chownSync(theirs, NOBODY, NOBODY)
    writeFileSync(join(theirs, 'readme'), 'for everybody')
    chmodSync(join(theirs, 'readme'), 0o644)
    chmodSync(dir, 0o755)
    execFileSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'mv', 'readme', 'out'], {
      cwd: theirs,
    })
    path = join(theirs, 'out')
    await make(true)
    expect(modeOf(path)).toBe('600')
  })

  test('the target of a link, nor is that written to', async () => {
    const target = join(dir, 'target')
    writeFileSync(target, 'other')
    chmodSync(target, 0o644)
    symlinkSync(target, path)
    await make(true)
    expect([modeOf(path), lstatSync(path).isFile(), readFileSync(target, 'utf8')]).toEqual(['600', true, 'other'])
  })
})

describe('nothing is replaced without being asked for', () => {
  const kinds = {
    'a link that leads nowhere': () => symlinkSync(join(dir, 'nowhere'), path),
    'a link to a file': () => symlinkSync('/etc/passwd', path),
    'a link to a terminal': () => symlinkSync('/dev/null', path),
    'a file': () => writeFileSync(path, 'there'),
    'a pipe': () => execFileSync('mkfifo', [path]),
    'a directory': () => mkdirSync(path),
  }

  test.each(Object.entries(kinds))('%s that was there', async (_, put) => {
    put()
    await expect(make(false)).rejects.toThrow(OutputExistsError)
    expect([existsSync(join(dir, 'nowhere')), leftOver()]).toEqual([false, []])
  })

  test.each(Object.entries(kinds))('%s that came meanwhile', async (_, put) => {
    await expect(make(false, put)).rejects.toThrow(OutputExistsError)
    expect([existsSync(join(dir, 'nowhere')), leftOver()]).toEqual([false, []])
  })

  test('what is in a directory that took the place of the parent', async () => {
    const parent = join(dir, 'parent')
    mkdirSync(parent)
    path = join(parent, 'out')
    const elsewhere = join(dir, 'elsewhere')
    mkdirSync(elsewhere)
    writeFileSync(join(elsewhere, 'out'), 'there')
    await expect(
      make(true, () => {
        renameSync(parent, join(dir, 'moved'))
        symlinkSync(elsewhere, parent)
      }),
    ).rejects.toThrow()
    expect(readFileSync(join(elsewhere, 'out'), 'utf8')).toBe('there')
  })
})

test('a pipe, a device or a directory is not replaced at all', async () => {
  for (const put of [
    () => execFileSync('mkfifo', [path]),
    () => symlinkSync('/dev/null', path),
    () => mkdirSync(path),
  ]) {
    put()
    await expect(make(true)).rejects.toThrow(OutputError)
    rmSync(path, { recursive: true })
  }
})

test('where the mode of the replaced file cannot be set, nothing is left, open or in the directory', async () => {
  writeFileSync(path, 'old')
  chmodSync(path, OWN_MODE)
  const probe = await open(path)
  const prototype = Object.getPrototypeOf(probe) as FileHandle
  await probe.close()
  const before = readdirSync('/proc/self/fd').length
  const chmod = vi.spyOn(prototype, 'chmod').mockRejectedValue(new Error('EPERM: no modes here'))
  try {
    await expect(make(true)).rejects.toThrow(/cannot write .*EPERM/)
  } finally {
    chmod.mockRestore()
  }
  expect([leftOver(), readFileSync(path, 'utf8'), readdirSync('/proc/self/fd').length]).toEqual([[], 'old', before])
})

test('where a link has another inode number than the file that is open, as with sshfs, the file has appeared', async () => {
  const file = await NewFile.create(path)
  const found = await file.handle.stat()
  file.handle.stat = (() => Promise.resolve(Object.assign(found, { ino: found.ino + 1 }))) as FileHandle['stat']
  await file.publish()
  await file.discard()
  expect(existsSync(path)).toBe(true)
})
