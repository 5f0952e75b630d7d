import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BY_UMASK } from './directories.ts'
import { errorMessage } from './errors.ts'
import { findDirectory, findEntry, makeNamedDirectory } from './named-directory.ts'

let dir = ''

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-named-')))
  fs.writeFileSync(join(dir, 'file'), '')
  fs.symlinkSync('nowhere', join(dir, 'dangling'))
  fs.symlinkSync('loop', join(dir, 'loop'))
  fs.mkdirSync(join(dir, 'a'))
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

const found: [what: string, find: (path: string) => unknown][] = [
  ['findEntry', findEntry],
  ['findDirectory', findDirectory],
  ['makeNamedDirectory', (path) => makeNamedDirectory(path, 0o700)],
]

test.each(found)('%s names in its errors the path that was asked for, and leaves nothing open', (_, find) => {
  const before = fs.readdirSync('/proc/self/fd').length
  for (const name of ['file/below/it', 'file', 'dangling', 'dangling/below', 'loop', `a/${'x'.repeat(300)}/b`]) {
    const path = join(dir, name)
    try {
      const descriptor = find(path)
      if (typeof descriptor === 'number') fs.closeSync(descriptor)
      if (typeof descriptor === 'object' && descriptor !== null) fs.closeSync((descriptor as { parent: number }).parent)
    } catch (error) {
      expect(errorMessage(error)).toContain(path)
      expect(errorMessage(error)).not.toContain('/proc/self')
      expect(error).not.toHaveProperty('path', expect.stringContaining('/proc/self'))
    }
  }
  expect(fs.readdirSync('/proc/self/fd').length).toBe(before)
})

test('a directory that is made as other programs make theirs has the mode that the umask leaves', () => {
  const umask = process.umask(0o027)
  try {
    const path = join(dir, 'x/y')
    fs.closeSync(makeNamedDirectory(path, BY_UMASK))
    for (const each of [join(dir, 'x'), path]) expect((fs.statSync(each).mode & 0o777).toString(8)).toBe('750')
  } finally {
    process.umask(umask)
  }
})
