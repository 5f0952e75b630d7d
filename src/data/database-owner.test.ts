import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { filesBeneath } from '../util/files-beneath.ts'
import { makeFolders } from './database-owner.ts'

const IS_ROOT = process.geteuid?.() === 0
const folders = [
  { uid: 1, gid: 1, mode: 0o751 },
  { uid: 2, gid: 2, mode: 0o752 },
  { uid: 3, gid: 3, mode: 0o753 },
]
const WISH = { file: {}, folders }

let root: string
beforeEach(() => {
  root = join(fs.mkdtempSync(join(tmpdir(), 'ltxd-folders-')), 'files')
  fs.mkdirSync(root)
})
afterEach(() => fs.rmSync(join(root, '..'), { recursive: true, force: true }))

function shown(...names: string[]): string[] {
  return names.map((name) => {
    const { uid, gid, mode } = fs.lstatSync(join(root, name))
    return `${uid}:${gid}:${(mode & 0o7777).toString(8)}`
  })
}

const make = (name: string) => makeFolders(filesBeneath(root), root, name, WISH)

test.skipIf(!IS_ROOT)(
  'the directories that are made for a database are given to their owners, with an empty root',
  () => {
    expect(make('in/deep/a.db')).toBeUndefined()
    expect(shown('.', 'in', 'in/deep')).toEqual(['1:1:751', '2:2:752', '3:3:753'])
  },
)

test.skipIf(!IS_ROOT)('a directory that was there before is not, however it looks', () => {
  fs.mkdirSync(join(root, 'in'))
  const before = shown('.', 'in')
  expect(make('in/deep/a.db')).toBeUndefined()
  expect(make('in/deep/b.db')).toBeUndefined()
  expect(shown('.', 'in')).toEqual(before)
  expect(shown('in/deep')).toEqual(['3:3:753'])
})

test.skipIf(!IS_ROOT)('nor is the root, once there is anything in it', () => {
  fs.writeFileSync(join(root, 'x'), '')
  const before = shown('.')
  make('a.db')
  expect(shown('.')).toEqual(before)
})
