import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { applyModes, applyModesMeanwhile } from './directory-modes.ts'
import { modesOf, PRIVATE } from './private-files.ts'

let parent = ''
let dir = ''
const modeOf = (name: string) => (fs.lstatSync(`${parent}/${name}`).mode & 0o777).toString(8)

beforeEach(() => {
  parent = fs.mkdtempSync(`${tmpdir()}/ltxd-modes-`)
  dir = `${parent}/dir`
  fs.mkdirSync(`${dir}/a/b`, { recursive: true })
  fs.mkdirSync(`${dir}/left`)
  fs.mkdirSync(`${parent}/outside`)
  for (const name of ['dir/a/file', 'dir/a/b/file', 'dir/left/file', 'outside/file']) {
    fs.writeFileSync(`${parent}/${name}`, '')
    fs.chmodSync(`${parent}/${name}`, 0o644)
  }
  for (const name of ['dir', 'dir/a', 'dir/a/b', 'dir/left', 'outside']) fs.chmodSync(`${parent}/${name}`, 0o755)
  fs.symlinkSync(`${parent}/outside`, `${dir}/a/link`)
  fs.symlinkSync(`${parent}/outside/file`, `${dir}/a/file-link`)
})
afterEach(() => {
  fs.rmSync(parent, { recursive: true, force: true })
})

test('everything in the directory gets its mode, but for the named entry and what links name', () => {
  expect(applyModes(dir, PRIVATE, dir, { except: 'left' })).toEqual({ mode: 0o755, count: 5, isForeign: false })
  expect(['dir', 'dir/a', 'dir/a/b', 'dir/a/file', 'dir/a/b/file'].map(modeOf)).toEqual([
    '700',
    '700',
    '700',
    '600',
    '600',
  ])
  expect(['dir/left', 'dir/left/file', 'outside', 'outside/file'].map(modeOf)).toEqual(['755', '644', '755', '644'])
  expect(applyModes(dir, PRIVATE, dir, { except: 'left' })).toBeUndefined()
})

test('a wider mode is applied too, beside other work', async () => {
  applyModes(dir, PRIVATE, dir)
  const all = { has: () => true, isNarrowed: false }
  expect(await applyModesMeanwhile(dir, modesOf(0o750), dir, all)).toMatchObject({ mode: 0o700, isForeign: false })
  expect(['dir', 'dir/a/b', 'dir/a/b/file', 'outside/file'].map(modeOf)).toEqual(['750', '750', '640', '644'])
})

test('what is of no part keeps its mode, and so do the directories that hold nothing else', async () => {
  const part = (name: string, isNarrowed = false) => ({ has: (file: string) => file === name, isNarrowed })
  expect(await applyModesMeanwhile(dir, PRIVATE, dir, part('other'))).toBeUndefined()
  expect(await applyModesMeanwhile(dir, PRIVATE, dir, part('a/b/file'))).toEqual({
    mode: 0o755,
    count: 4,
    isForeign: false,
  })
  expect(['dir', 'dir/a', 'dir/a/b', 'dir/a/b/file'].map(modeOf)).toEqual(['700', '700', '700', '600'])
  expect(['dir/left', 'dir/left/file', 'dir/a/file'].map(modeOf)).toEqual(['755', '644', '644'])
  expect(await applyModesMeanwhile(dir, modesOf(0o750), dir, part('a/b/file', true))).toBeUndefined()
})

test('a file that has another name elsewhere keeps its mode', () => {
  fs.linkSync(`${parent}/outside/file`, `${dir}/a/hard`)
  expect(applyModes(dir, PRIVATE, dir, { except: 'left' })).toEqual({ mode: 0o755, count: 5, isForeign: true })
  expect(modeOf('outside/file')).toBe('644')
})
