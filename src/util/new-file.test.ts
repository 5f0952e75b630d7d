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
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
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
