/**
 * A data directory that another user had, and that was given to root as the message says: he has left links in it, and
 * files that he may open. Nothing outside is touched, nothing is written where he reads, and the message names it.
 */

import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDataDirectory } from '../../src/data/directory.ts'
import { Spool } from '../../src/data/spool.ts'
import { IS_ROOT } from '../conformance/served.ts'

const NOBODY_ID = 65534

let dir: string
let data: string
let victim: string

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-former-owner-')))
  data = join(dir, 'data')
  victim = join(dir, 'victim')
  fs.mkdirSync(join(victim, 'spool'), { recursive: true })
  fs.writeFileSync(join(victim, 'spool', 'file'), 'precious')
  openDataDirectory(data).close()
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

const open = () => openDataDirectory(data).close()
const precious = () => fs.readFileSync(join(victim, 'spool', 'file'), 'utf8')

function link(name: string, uid: number): string {
  const path = join(data, name)
  fs.rmSync(path, { recursive: true, force: true })
  fs.symlinkSync(victim, path)
  fs.lchownSync(path, uid, uid)
  return path
}

const DIRECTORIES = ['files', 'log', 'temporary', 'hydrating', 'restored', 'replacing', 'diverged', 'strays']

describe.each(DIRECTORIES)('a link in the place of %s', (name) => {
  test.runIf(IS_ROOT).each([NOBODY_ID, 0])('of the user %d is an error that names it, and leads nowhere', (uid) => {
    const path = link(name, uid)
    expect(open).toThrow(`${path} is a symbolic link`)
    expect(open).toThrow(/remove the link/)
    expect(fs.readdirSync(victim)).toEqual(['spool'])
    expect(precious()).toBe('precious')
  })
})

test('what arrives is not removed through a link', () => {
  const held = openDataDirectory(data)
  try {
    link('temporary', process.geteuid?.() ?? 0)
    expect(() => new Spool(held.files, `${data}/temporary`)).toThrow(/symbolic link/)
    expect(precious()).toBe('precious')
    fs.unlinkSync(join(data, 'temporary'))
    fs.mkdirSync(join(data, 'temporary'))
    link('temporary/spool', process.geteuid?.() ?? 0)
    expect(new Spool(held.files, `${data}/temporary`)).toBeDefined()
    expect(fs.readdirSync(join(data, 'temporary'))).toEqual([])
    expect(precious()).toBe('precious')
  } finally {
    held.close()
  }
})
