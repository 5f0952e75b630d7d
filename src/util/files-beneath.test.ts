import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { effort } from '../../test/harness/effort.ts'
import { errorCode } from './errors.ts'
import { type FilesBeneath, filesBeneath, LinkedNameError, NotRegularError, pinned } from './files-beneath.ts'
import { PRIVATE } from './private-files.ts'

const { O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants
const TRIES = effort(2_000, 10_000)

let parent = ''
let root = ''
let outside = ''
let files: FilesBeneath

beforeEach(() => {
  parent = fs.mkdtempSync(`${tmpdir()}/ltxd-beneath-`)
  root = `${parent}/root`
  outside = `${parent}/outside`
  fs.mkdirSync(`${root}/a/b`, { recursive: true })
  fs.mkdirSync(`${outside}/b`, { recursive: true })
  fs.writeFileSync(`${root}/a/b/file`, 'inside')
  for (const name of ['file', 'b/file']) fs.writeFileSync(`${outside}/${name}`, 'outside')
  files = filesBeneath(root)
})

afterEach(() => {
  fs.rmSync(parent, { recursive: true, force: true })
})

/** Everything outside, with content, owner, mode and times, which no operation may change. */
function pictureOutside(): unknown {
  return (fs.readdirSync(outside, { recursive: true }) as string[]).sort().map((name) => {
    const { mode, uid, gid, mtimeMs, ctimeMs, ino } = fs.lstatSync(`${outside}/${name}`)
    return [name, mode, uid, gid, mtimeMs, ctimeMs, ino]
  })
}

/** Every operation that takes a name, on `path`. */
function operations(path: string): [string, () => unknown][] {
  const opened = (flags: number) => () => fs.closeSync(files.open(path, flags, 0o600))
  return [
    ['open to read', opened(O_RDONLY)],
    ['open to write', opened(O_WRONLY | O_TRUNC)],
    ['create', opened(O_RDWR | O_CREAT)],
    ['status', () => assert(files.status(path) === undefined, 'there is nothing')],
    ['change the owner', () => files.setOwner(path, { uid: 1, gid: 1 })],
    ['list', () => files.list(path)],
    ['sync', () => files.syncDirectory(path)],
    ['open a directory', () => fs.closeSync(files.openDirectory(path))],
    ['make a directory', () => files.makeDirectory(path)],
    ['make one below', () => files.makeDirectory(`${path}/new`)],
  ]
}

/** Operations on a name itself, which may be a link: none follows it. */
function nameOperations(path: string): [string, () => unknown][] {
  return [
    ['unlink', () => files.unlink(path)],
    ['remove', () => files.remove(path)],
    ['remove a directory', () => files.removeDirectory(path)],
    ['rename away', () => files.rename(path, `${root}/moved`)],
    ['rename onto', () => files.rename(`${root}/a/b/file`, path)],
  ]
}

describe('below a directory no symbolic link is followed', () => {
  test('not as the last component, whatever it names', () => {
    const before = pictureOutside()
    for (const target of [`${outside}/file`, `${outside}/b`, `${outside}/absent`, '../outside/file', 'a/b/file']) {
      fs.symlinkSync(target, `${root}/link`)
      for (const [operation, run] of operations(`${root}/link`)) expect(run, operation).toThrow(LinkedNameError)
      expect(files.exists(`${root}/link`)).toBe(false)
      files.remove(`${root}/link`)
      expect(() => fs.lstatSync(`${root}/link`)).toThrow('ENOENT')
    }
    expect(pictureOutside()).toEqual(before)
    expect(fs.readFileSync(`${root}/a/b/file`, 'utf8')).toBe('inside')
  })

  test('not as any component before it', () => {
    const before = pictureOutside()
    const paths: [string, string][] = [
      [`${root}/link`, `${root}/link/b/file`],
      [`${root}/link`, `${root}/link/file`],
      [`${root}/link`, `${root}/link/absent`],
      [`${root}/a/link`, `${root}/a/link/b/file`],
      [`${root}/a/link`, `${root}/a/link/absent/file`],
    ]
    for (const [link, path] of paths) {
      fs.symlinkSync(outside, link)
      for (const [operation, run] of [...operations(path), ...nameOperations(path)]) {
        expect(run, `${operation} ${path}`).toThrow(LinkedNameError)
      }
      expect(files.exists(path)).toBe(false)
      expect(() => files.open(path, O_RDONLY)).toThrow(`${path} is reached through the symbolic link ${link}`)
      fs.unlinkSync(link)
    }
    expect(pictureOutside()).toEqual(before)
  })

  test(`not while a directory is swapped for a link and back, in ${TRIES} tries`, async () => {
    const before = pictureOutside()
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const swapper = new Worker(SWAP, { eval: true, workerData: { root, outside, stop } })
    const ended = once(swapper, 'exit')
    const seen = { inside: 0, rejected: 0 }
    try {
      for (let i = 0; i < TRIES; i++) seen[tryOnce(i)]++
    } finally {
      Atomics.store(stop, 0, 1)
      await ended
    }
    expect(pictureOutside()).toEqual(before)
    // Otherwise nothing was swapped.
    expect(seen.inside).toBeGreaterThan(0)
    expect(seen.rejected).toBeGreaterThan(0)
  })
})

/** Swaps the directory `a` for a link to the outside and back, until it is told to stop. */
const SWAP = `
  const fs = require('node:fs')
  const { root, outside, stop } = require('node:worker_threads').workerData
  const { a, aside } = { a: root + '/a', aside: root + '/aside' }
  // The other thread makes directories meanwhile: then a step fails, and the next round does what is left.
  const attempt = (step) => {
    try {
      step()
    } catch {}
  }
  while (Atomics.load(stop, 0) === 0) {
    if (!fs.existsSync(aside)) fs.renameSync(a, aside)
    attempt(() => fs.symlinkSync(outside, a))
    attempt(() => fs.unlinkSync(a))
    for (const made of [a + '/b/new', a + '/b', a]) attempt(() => fs.rmdirSync(made))
    attempt(() => fs.renameSync(aside, a))
  }
`

/** One operation on a name below the directory that is swapped. */
function tryOnce(i: number): 'inside' | 'rejected' {
  const path = `${root}/a/b/file`
  try {
    if (i % 8 === 0) files.setOwner(path, { uid: process.getuid?.() ?? 0, mode: 0o600 })
    else if (i % 8 === 1) files.makeDirectory(`${root}/a/b/new`)
    else if (i % 8 === 2) files.removeDirectory(`${root}/a/b/new`)
    else if (i % 8 === 3) files.rename(path, `${root}/a/b/renamed`)
    else write(path)
    return 'inside'
  } catch (error) {
    assert(error instanceof LinkedNameError || ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? ''), String(error))
    return 'rejected'
  }
}

function write(path: string): void {
  const fd = files.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
  try {
    fs.writeSync(fd, 'inside')
  } finally {
    fs.closeSync(fd)
  }
}

describe('below a directory only regular files are opened', () => {
  test('a named pipe is an error at once, whoever is at its other end', () => {
    execFileSync('mkfifo', [`${root}/pipe`])
    for (const flags of [O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_CREAT]) {
      expect(() => files.open(`${root}/pipe`, flags)).toThrow(`${root}/pipe is a named pipe, and a regular file`)
    }
    expect(() => files.setOwner(`${root}/pipe`, { mode: 0o600 })).toThrow(NotRegularError)
    expect(() => files.list(`${root}/pipe`)).toThrow('ENOTDIR')
  })

  test('a socket is an error', async () => {
    const server = createServer().listen(`${root}/socket`)
    await once(server, 'listening')
    try {
      expect(() => files.open(`${root}/socket`, O_RDWR)).toThrow('is a socket')
    } finally {
      server.close()
    }
  })

  test.runIf(process.getuid?.() === 0)('a device is an error, and is not opened', () => {
    execFileSync('mknod', [`${root}/device`, 'c', '1', '3'])
    for (const flags of [O_RDONLY, O_RDWR]) expect(() => files.open(`${root}/device`, flags)).toThrow('is a device')
  })

  test('a directory is an error', () => {
    expect(() => files.open(`${root}/a`, O_RDONLY)).toThrow(`${root}/a is a directory`)
  })
})

describe('what is no link works as it does elsewhere', () => {
  test('files and directories are made, moved, listed and removed', () => {
    files.makeDirectory(`${root}/x/y/z`)
    fs.closeSync(files.open(`${root}/x/y/z/f`, O_RDWR | O_CREAT, 0o640))
    expect(fs.statSync(`${root}/x/y/z/f`).mode & 0o777).toBe(0o640 & ~process.umask())
    files.rename(`${root}/x/y/z/f`, `${root}/a/g`)
    expect(files.list(`${root}/a`).sort()).toEqual(['b', 'g'])
    expect(files.list(root).sort()).toEqual(['a', 'x'])
    expect(files.list(`${root}/none`)).toEqual([])
    expect([files.exists(`${root}/a/g`), files.exists(`${root}/a/h`), files.exists(root)]).toEqual([true, false, true])
    expect(files.status(`${root}/a/h`)).toBeUndefined()
    files.remove(`${root}/a/g`)
    files.remove(`${root}/a/g`)
    files.syncDirectory(root)
    files.removeDirectory(`${root}/x/y/z`)
    expect(fs.readdirSync(`${root}/x`, { recursive: true })).toEqual(['y'])
  })

  test('the directory itself may be reached by a link', () => {
    fs.symlinkSync(root, `${parent}/by-link`)
    const linked = filesBeneath(`${parent}/by-link`)
    fs.closeSync(linked.open(`${parent}/by-link/a/b/file`, O_RDONLY))
    linked.makeDirectory(`${parent}/by-link/new`)
    expect(linked.list(`${parent}/by-link`).sort()).toEqual(['a', 'new'])
  })

  test('an error names the file as the caller does', () => {
    expect(() => files.open(`${root}/a/b/none`, O_RDONLY)).toThrow(`no such file or directory, open '${root}/a/b/none'`)
    expect(() => files.open(`${root}/a/none/f`, O_RDONLY)).toThrow(`no such file or directory, open '${root}/a/none'`)
    expect(() => files.open(`${root}/a/b/file/f`, O_RDONLY)).toThrow(`not a directory, open '${root}/a/b/file'`)
  })

  test('names that are not below the directory are rejected', () => {
    for (const path of [`${outside}/file`, `${root}/../outside/file`, `${root}/./a`, `${root}s/f`, 'a', '']) {
      expect(() => files.open(path, O_RDONLY), path).toThrow('is no name below')
    }
  })

  test('no descriptor stays open', () => {
    const count = () => fs.readdirSync('/proc/self/fd').length
    const before = count()
    fs.symlinkSync(outside, `${root}/link`)
    for (const path of [`${root}/a/b/file`, `${root}/link/b/file`, `${root}/a/none`, `${root}/a`]) {
      for (const [, run] of [...operations(path), ...nameOperations(path)]) {
        try {
          run()
        } catch {
          continue
        }
      }
    }
    expect(count()).toBe(before)
  })
})

test('a pinned directory stays the same one when another takes its place', () => {
  const above = fs.mkdtempSync(join(tmpdir(), 'ltxd-pinned-'))
  try {
    const root = join(above, 'a/mnt')
    fs.mkdirSync(root, { recursive: true })
    const files = filesBeneath(root, PRIVATE, pinned(root))
    fs.renameSync(join(above, 'a'), join(above, 'b'))
    fs.mkdirSync(join(above, 'outside'))
    fs.mkdirSync(join(above, 'a'))
    fs.symlinkSync(join(above, 'outside'), root)
    files.makeDirectory(join(root, 'x/y'))
    files.close(files.open(join(root, 'x/y/f'), O_RDWR | O_CREAT))
    files.close(files.open(join(root, 'g'), O_RDWR | O_CREAT))
    expect(files.status(root)?.ino).toBe(fs.statSync(join(above, 'b/mnt')).ino)
    expect(fs.readdirSync(join(above, 'outside'))).toEqual([])
    expect(files.list(root).sort()).toEqual(['g', 'x'])
    expect(fs.readdirSync(join(above, 'b/mnt/x/y'))).toEqual(['f'])
    expect(() => files.open(join(root, 'absent'), O_RDONLY)).toThrow(join(root, 'absent'))
  } finally {
    fs.rmSync(above, { recursive: true })
  }
})
