import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { effort, HANG_MS } from '../../test/harness/effort.ts'
import { errorCode } from './errors.ts'
import {
  type FilesBeneath,
  filesBeneath,
  LinkedNameError,
  NotRegularError,
  withPinnedDirectory,
} from './files-beneath.ts'

/** What `a/b/file` is changes while every operation uses that name. */

const { O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY } = fs.constants
const TRIES = effort(1_000, 10_000)
/** What an operation may say that found something else than it works on. */
const ERRNOS = ['ENOENT', 'ENOTDIR', 'EEXIST', 'ENXIO', 'EISDIR', 'ENOTEMPTY', 'EPERM']

/** Puts in turn a regular file, each of the `kinds` and an empty directory in the place of `path`. */
const SWAP = `
  const fs = require('node:fs')
  const { path, kinds, aside, stop } = require('node:worker_threads').workerData
  const attempt = (step) => {
    try {
      step()
    } catch {}
  }
  const others = fs.readdirSync(kinds)
  for (let i = 0; Atomics.load(stop, 0) === 0; i++) {
    attempt(() => fs.writeFileSync(aside, 'inside'))
    attempt(() => fs.renameSync(aside, path))
    // A hard link to a symbolic link is that link.
    attempt(() => fs.linkSync(kinds + '/' + others[i % others.length], aside))
    attempt(() => fs.renameSync(aside, path))
    attempt(() => fs.unlinkSync(aside))
    if (i % 5 > 0) continue
    attempt(() => fs.unlinkSync(path))
    attempt(() => fs.mkdirSync(path))
    attempt(() => fs.rmdirSync(path))
  }
`

function makeKinds(kinds: string, outside: string): void {
  fs.mkdirSync(kinds)
  const targets = { link: `${outside}/file`, absent: `${outside}/absent`, directory: outside }
  for (const [kind, target] of Object.entries(targets)) fs.symlinkSync(target, `${kinds}/${kind}`)
  execFileSync('mkfifo', [`${kinds}/pipe`])
  if (process.getuid?.() === 0) execFileSync('mknod', [`${kinds}/device`, 'c', '1', '3'])
}

/** Everything that a change would show in. */
function picture(...paths: string[]): unknown {
  return paths.map((path) => {
    const { mode, uid, gid, size, mtimeMs, ctimeMs, ino } = fs.lstatSync(path)
    return { path, mode, uid, gid, size, mtimeMs, ctimeMs, ino, names: mode & 0o40000 && fs.readdirSync(path) }
  })
}

/** Throws if what was opened is a file of the outside. */
function assertInside(fd: number): void {
  try {
    assert.notEqual(fs.readFileSync(fd, 'latin1'), 'outside')
  } finally {
    fs.closeSync(fd)
  }
}

/** Every operation that takes a name. */
function operations(files: FilesBeneath, path: string): [string, () => unknown][] {
  return [
    ['read', () => assertInside(files.open(path, O_RDONLY))],
    ['write', () => fs.closeSync(files.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600))],
    ['status', () => assert(files.status(path)?.isFile(), 'no regular file')],
    ['exists', () => files.exists(path)],
    ['change the owner', () => files.setOwner(path, { uid: process.getuid?.() ?? 0, mode: 0o640 })],
    ['list', () => files.list(path)],
    ['sync', () => files.syncDirectory(path)],
    ['open a directory', () => fs.closeSync(files.openDirectory(path))],
    [
      'pin',
      () =>
        withPinnedDirectory({ root: files.root, path }, async (pinned) => assert.deepEqual(fs.readdirSync(pinned), [])),
    ],
    ['make a directory', () => files.makeDirectory(path)],
    ['make one below', () => files.makeDirectory(`${path}/new`)],
    ['remove one below', () => files.removeDirectory(`${path}/new`)],
    ['unlink', () => files.unlink(path)],
    ['remove', () => files.remove(path)],
    ['remove a directory', () => files.removeDirectory(path)],
    ['rename away', () => files.rename(path, `${files.root}/moved`)],
    ['rename onto', () => files.rename(`${files.root}/other`, path)],
  ]
}

test(
  `a file is swapped for links, a pipe, a socket, a device, a directory: nothing else is touched, nothing hangs, in ${TRIES} tries`,
  { timeout: HANG_MS },
  async () => {
    const parent = fs.mkdtempSync(`${tmpdir()}/ltxd-swapped-`)
    const [root, outside, kinds] = [`${parent}/root`, `${parent}/outside`, `${parent}/kinds`]
    fs.mkdirSync(`${root}/a/b`, { recursive: true })
    fs.mkdirSync(outside)
    fs.writeFileSync(`${outside}/file`, 'outside', { mode: 0o600 })
    makeKinds(kinds, outside)
    const server = createServer().listen(`${kinds}/socket`)
    await once(server, 'listening')
    const paths = [outside, `${outside}/file`, '/dev/null']
    const before = picture(...paths)
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const path = `${root}/a/b/file`
    const swapper = new Worker(SWAP, { eval: true, workerData: { path, kinds, aside: `${parent}/aside`, stop } })
    const ended = once(swapper, 'exit')
    const all = operations(filesBeneath(root), path)
    const wanted = new Set(['read: done', 'read: NAME_IS_LINK', 'read: NOT_REGULAR', 'open a directory: NAME_IS_LINK'])
    try {
      for (let i = 0; i < TRIES || wanted.size > 0; i++) {
        const [operation, run] = all[i % all.length] as [string, () => unknown]
        fs.writeFileSync(`${root}/other`, 'inside')
        wanted.delete(`${operation}: ${await outcomeOf(run)}`)
      }
    } finally {
      Atomics.store(stop, 0, 1)
      await ended
      server.close()
    }
    expect(picture(...paths)).toEqual(before)
    fs.rmSync(parent, { recursive: true })
  },
)

async function outcomeOf(run: () => unknown): Promise<string> {
  try {
    await run()
    return 'done'
  } catch (error) {
    const code = errorCode(error) ?? ''
    if (error instanceof LinkedNameError || error instanceof NotRegularError || ERRNOS.includes(code)) return code
    if (error instanceof assert.AssertionError && error.message === 'no regular file') return 'another kind'
    throw error
  }
}
