import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { PRIVATE } from '../util/private-files.ts'
import { setAsideStrays } from './strays.ts'

let base: string
let mount: string
let kept: string

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'ltxd-strays-'))
  mount = mkdtempSync(join(base, 'mount-'))
  kept = join(base, 'strays')
})

afterEach(() => rmSync(base, { recursive: true, force: true }))

test('journals without a database move out of an otherwise empty mount point', () => {
  for (const name of ['a.db-journal', 'b.db-wal', 'b.db-shm']) writeFileSync(join(mount, name), name)
  const moved = setAsideStrays(mount, kept, PRIVATE)
  expect(readdirSync(mount)).toEqual([])
  expect(moved.map((path) => readFileSync(path, 'utf8')).sort()).toEqual(['a.db-journal', 'b.db-shm', 'b.db-wal'])
})

test.each([['a.db', 'a.db-journal'], ['a.db-journal', 'notes.txt'], ['-wal']])(
  'where somebody keeps files nothing is touched: %s',
  (...names) => {
    for (const name of names) writeFileSync(join(mount, name), '')
    expect(setAsideStrays(mount, kept, PRIVATE)).toEqual([])
    expect(readdirSync(mount).sort()).toEqual([...names].sort())
  },
)

test('a mount point that is empty, or does not exist yet, has no stray files', () => {
  expect(setAsideStrays(mount, kept, PRIVATE)).toEqual([])
  expect(setAsideStrays(join(base, 'absent'), kept, PRIVATE)).toEqual([])
  expect(existsSync(kept)).toBe(false)
})
