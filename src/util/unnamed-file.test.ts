import { once } from 'node:events'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { effort } from '../../test/harness/effort.ts'
import { errorCode } from './errors.ts'
import { openNamedAndUnlink, openUnnamed, openUnnamedHandle } from './unnamed-file.ts'

const TRIES = effort(1_000, 10_000)
let parent = ''

beforeEach(() => {
  parent = fs.mkdtempSync(`${tmpdir()}/ltxd-unnamed-`)
  fs.mkdirSync(`${parent}/mine`)
  fs.mkdirSync(`${parent}/outside`)
})
afterEach(() => {
  fs.rmSync(parent, { recursive: true, force: true })
})

test.each([
  ['where the file system has such files', openUnnamed],
  ['where it has none', openNamedAndUnlink],
])('a file without a name can be written and read, is private and leaves nothing, %s', (_where, open) => {
  const umask = process.umask(0)
  try {
    const fd = open(`${parent}/mine`)
    fs.writeSync(fd, 'hello')
    const into = Buffer.alloc(5)
    expect(fs.readSync(fd, into, 0, 5, 0)).toBe(5)
    expect(into.toString()).toBe('hello')
    const { nlink, mode } = fs.fstatSync(fd)
    expect([nlink, mode & 0o777]).toEqual([0, 0o600])
    expect(fs.readdirSync(`${parent}/mine`)).toEqual([])
    fs.closeSync(fd)
  } finally {
    process.umask(umask)
  }
})

test('the handle is of the same kind', async () => {
  const handle = await openUnnamedHandle(`${parent}/mine`)
  await handle.write(Buffer.from('hello'), 0, 5, 7)
  expect((await handle.stat()).size).toBe(12)
  expect(fs.readdirSync(`${parent}/mine`)).toEqual([])
  await handle.close()
})

test('an error names the directory as the caller does', () => {
  expect(() => openUnnamed(`${parent}/none`)).toThrow(`open '${parent}/none'`)
})

/** Whoever owns the directory above renames it, and puts a link to another in its place. */
const SWAP = `
  const fs = require('node:fs')
  const { parent, stop } = require('node:worker_threads').workerData
  while (Atomics.load(stop, 0) === 0) {
    fs.renameSync(parent + '/mine', parent + '/aside')
    fs.symlinkSync('outside', parent + '/mine')
    for (const name of fs.readdirSync(parent + '/aside')) {
      try {
        fs.renameSync(parent + '/aside/' + name, parent + '/aside/stolen')
        fs.symlinkSync('../outside/victim', parent + '/aside/' + name)
      } catch {}
    }
    fs.unlinkSync(parent + '/mine')
    fs.renameSync(parent + '/aside', parent + '/mine')
  }
`

test(`nothing that is linked to meanwhile is written, removed or truncated, in ${TRIES} tries`, async () => {
  fs.writeFileSync(`${parent}/outside/victim`, 'untouched')
  fs.mkdirSync(`${parent}/outside/directory`)
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const swapper = new Worker(SWAP, { eval: true, workerData: { parent, stop } })
  const ended = once(swapper, 'exit')
  try {
    for (let i = 0; i < TRIES; i++) {
      try {
        const fd = (i % 2 === 0 ? openUnnamed : openNamedAndUnlink)(`${parent}/mine`)
        fs.writeSync(fd, 'pages')
        fs.closeSync(fd)
      } catch (error) {
        expect(['ENOENT', 'ENOTDIR']).toContain(errorCode(error))
      }
    }
  } finally {
    Atomics.store(stop, 0, 1)
    await ended
  }
  // A link to a directory may be followed at the moment of the open: the file is made there, and vanishes.
  expect(fs.readdirSync(`${parent}/outside`).sort()).toEqual(['directory', 'victim'])
  expect(fs.readFileSync(`${parent}/outside/victim`, 'utf8')).toBe('untouched')
})
