import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { effort } from '../../test/harness/effort.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { setAsideStrays, type StraysDirectory } from './strays.ts'

let base: string
let mount: string
let kept: string
let keep: StraysDirectory

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'ltxd-strays-'))
  mount = mkdtempSync(join(base, 'mount-'))
  kept = join(base, 'strays')
  keep = { files: filesBeneath(base), into: kept }
})

afterEach(() => rmSync(base, { recursive: true, force: true }))

test('journals without a database move out of an otherwise empty mount point', async () => {
  for (const name of ['a.db-journal', 'b.db-wal', 'b.db-shm']) writeFileSync(join(mount, name), name)
  const moved = await setAsideStrays(mount, keep)
  expect(readdirSync(mount)).toEqual([])
  expect(moved.map((path) => readFileSync(path, 'utf8')).sort()).toEqual(['a.db-journal', 'b.db-shm', 'b.db-wal'])
})

test.each([['a.db', 'a.db-journal'], ['a.db-journal', 'notes.txt'], ['-wal']])(
  'where somebody keeps files nothing is touched: %s',
  async (...names) => {
    for (const name of names) writeFileSync(join(mount, name), '')
    expect(await setAsideStrays(mount, keep)).toEqual([])
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
      await setAsideStrays(mount, keep)
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

test('a long journal without content moves at once, and takes no room', async () => {
  truncateTo(join(mount, 'a.db-journal'), 2 ** 40)
  const [moved = ''] = await setAsideStrays(mount, keep)
  expect(statSync(moved)).toMatchObject({ size: 2 ** 40, blocks: 0 })
  expect(readdirSync(mount)).toEqual([])
})

test.runIf(isElsewhere)(
  'from another file system only what fits is copied, and the start says what to do',
  async () => {
    const other = mkdtempSync(join(SHM, 'ltxd-strays-'))
    const elsewhere = { files: filesBeneath(other), into: join(other, 'strays') }
    try {
      truncateTo(join(mount, 'a.db-journal'), 2 ** 29)
      const [moved = ''] = await setAsideStrays(mount, elsewhere)
      expect(statSync(moved)).toMatchObject({ size: 2 ** 29, blocks: 0 })
      truncateTo(join(mount, 'b.db-journal'), 2 ** 40)
      await expect(setAsideStrays(mount, elsewhere)).rejects.toThrow(/b\.db-journal has 1099511627776 bytes.*move/)
      expect(readdirSync(mount)).toEqual(['b.db-journal'])
    } finally {
      rmSync(other, { recursive: true, force: true })
    }
  },
)

test.runIf(isElsewhere)('sparse files of others keep no start waiting, and no stop', async () => {
  const other = mkdtempSync(join(SHM, 'ltxd-strays-'))
  try {
    for (let n = 0; n < 60; n++) {
      truncateTo(join(mount, `${n}.db-journal`), 1 << 30)
      const fd = openSync(join(mount, `${n}.db-journal`), 'r+')
      writeSync(fd, 'x', n * 1_000_000)
      closeSync(fd)
    }
    const stop = new AbortController()
    const elsewhere = { files: filesBeneath(other), into: join(other, 'strays'), signal: stop.signal }
    const moving = setAsideStrays(mount, elsewhere)
    stop.abort(new Error('stopping'))
    await expect(moving).rejects.toThrow('stopping')
    expect(readdirSync(mount)).toHaveLength(60)
    expect(readdirSync(elsewhere.into)).toEqual([])
    const before = readBytes()
    const moved = await setAsideStrays(mount, { ...elsewhere, signal: undefined })
    expect(moved).toHaveLength(60)
    for (const path of moved) expect(statSync(path).size).toBe(1 << 30)
    expect(readBytes() - before, 'holes are not read').toBeLessThan(1 << 30)
  } finally {
    rmSync(other, { recursive: true, force: true })
  }
})

test('of very many files none moves, and the start says what to do', async () => {
  for (let n = 0; n < 1001; n++) writeFileSync(join(mount, `${n}.db-journal`), '')
  await expect(setAsideStrays(mount, keep)).rejects.toThrow(/1001 files that belong to no database.*move them away/)
  expect(readdirSync(mount)).toHaveLength(1001)
})

test.runIf(isElsewhere)('no more than a start can wait for is copied from another file system', async () => {
  const other = mkdtempSync(join(SHM, 'ltxd-strays-'))
  const elsewhere = { files: filesBeneath(other), into: join(other, 'strays') }
  try {
    for (const name of ['a', 'b', 'c']) {
      writeFileSync(join(mount, `${name}.db-journal`), '')
      execFileSync('fallocate', ['-l', String(400 << 20), join(mount, `${name}.db-journal`)])
    }
    await expect(setAsideStrays(mount, elsewhere)).rejects.toThrow(/too large/)
    expect(readdirSync(mount)).toEqual(['c.db-journal'])
  } finally {
    rmSync(other, { recursive: true, force: true })
  }
})

/** How many bytes this process has read, from wherever (proc_pid_io(5)). */
function readBytes(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
}

function truncateTo(path: string, sizeBytes: number): void {
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
}

test('a mount point that is empty, or does not exist yet, has no stray files', async () => {
  expect(await setAsideStrays(mount, keep)).toEqual([])
  expect(await setAsideStrays(join(base, 'absent'), keep)).toEqual([])
  expect(existsSync(kept)).toBe(false)
})
