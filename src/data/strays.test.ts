import { once } from 'node:events'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { effort } from '../../test/harness/effort.ts'
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

test('journals that are swapped for links meanwhile end nothing, and no link is followed', async () => {
  const outside = join(base, 'outside')
  writeFileSync(outside, 'secret')
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const swapper = new Worker(SWAP, { eval: true, workerData: { mount, outside, stop } })
  const ended = once(swapper, 'exit')
  try {
    for (let i = 0; i < effort(100, 10_000); i++) {
      for (let n = 0; n < 5; n++) makeJournal(join(mount, `${n}.db-journal`))
      setAsideStrays(mount, kept, PRIVATE)
    }
  } finally {
    Atomics.store(stop, 0, 1)
    await ended
  }
  expect(readFileSync(outside, 'utf8')).toBe('secret')
  for (const name of existsSync(kept) ? readdirSync(kept) : []) {
    expect(readFileSync(join(kept, name), 'utf8')).not.toBe('secret')
  }
})

function makeJournal(path: string): void {
  writeFileSync(join(base, 'new'), 'journal')
  renameSync(join(base, 'new'), path)
}

/** Puts links in the place of journals. */
const SWAP = `
  const fs = require('node:fs')
  const { mount, outside, stop } = require('node:worker_threads').workerData
  while (Atomics.load(stop, 0) === 0) {
    for (let n = 0; n < 5; n++) {
      try {
        fs.renameSync(mount + '/' + n + '.db-journal', mount + '/../gone')
        fs.symlinkSync(outside, mount + '/' + n + '.db-journal')
      } catch {}
    }
  }
`

const SHM = '/dev/shm'
const isElsewhere = existsSync(SHM) && statSync(SHM).dev !== statSync(tmpdir()).dev

test('a long journal without content moves at once, and takes no room', () => {
  truncateTo(join(mount, 'a.db-journal'), 2 ** 40)
  const [moved = ''] = setAsideStrays(mount, kept, PRIVATE)
  expect(statSync(moved)).toMatchObject({ size: 2 ** 40, blocks: 0 })
  expect(readdirSync(mount)).toEqual([])
})

test.runIf(isElsewhere)('from another file system only what fits is copied, and the start says what to do', () => {
  const other = mkdtempSync(join(SHM, 'ltxd-strays-'))
  try {
    truncateTo(join(mount, 'a.db-journal'), 2 ** 29)
    const [moved = ''] = setAsideStrays(mount, join(other, 'strays'), PRIVATE)
    expect(statSync(moved)).toMatchObject({ size: 2 ** 29, blocks: 0 })
    truncateTo(join(mount, 'b.db-journal'), 2 ** 40)
    expect(() => setAsideStrays(mount, join(other, 'strays'), PRIVATE)).toThrow(
      /b\.db-journal of 1099511627776 bytes.*move/,
    )
    expect(readdirSync(mount)).toEqual(['b.db-journal'])
  } finally {
    rmSync(other, { recursive: true, force: true })
  }
})

function truncateTo(path: string, sizeBytes: number): void {
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
}

test('a mount point that is empty, or does not exist yet, has no stray files', () => {
  expect(setAsideStrays(mount, kept, PRIVATE)).toEqual([])
  expect(setAsideStrays(join(base, 'absent'), kept, PRIVATE)).toEqual([])
  expect(existsSync(kept)).toBe(false)
})
