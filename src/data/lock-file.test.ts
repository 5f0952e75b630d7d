/** Who could once open the lock of a data directory keeps no node from starting, and shares no lock with it. */

import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { nativeLocks } from '../util/native-locks.ts'
import { modesOf, PRIVATE } from '../util/private-files.ts'
import { lockForReading, openDataDirectory } from './directory.ts'

const IS_ROOT = process.geteuid?.() === 0
const NOBODY = 65_534

/** A data directory that an earlier version left, with a lock of this mode. */
function left(dir: string, mode: number): { data: string; lock: string } {
  const data = join(dir, 'data')
  openDataDirectory(data).close()
  const lock = join(data, 'lock')
  fs.chmodSync(lock, mode)
  return { data, lock }
}

/** A node's start and end. Returns what it says of the lock. */
function start(data: string, modes = PRIVATE): string[] {
  const said: string[] = []
  openDataDirectory(data, { modes, changed: (message) => said.push(message) }).close()
  return said.filter((message) => /lock/.test(message))
}

test('who may only read the lock cannot keep a node from starting', () => {
  using temporary = temporaryDirectory()
  const { data, lock } = left(temporary.dir, 0o644)
  const held = fs.openSync(lock, 'r')
  expect(nativeLocks().tryLock(held, 0, 0, { shared: true })).toBe(true)
  expect(start(data)).toEqual([
    `${lock} was locked for reading by another process, which is no ltxd: there is a new file in its place`,
  ])
  expect(fs.statSync(lock).mode & 0o777).toBe(0o600)
  expect(start(data)).toEqual([])
  lockForReading(data).unlock()
  fs.closeSync(held)
})

test('a lock that others could open is a new file after the first start, and that is said', () => {
  using temporary = temporaryDirectory()
  const { data, lock } = left(temporary.dir, 0o666)
  const held = fs.openSync(lock, 'r+')
  expect(start(data)).toEqual([
    `${lock} had mode 0666, with which others could lock it: there is a new file in its place`,
  ])
  expect(nativeLocks().tryLock(held)).toBe(true)
  expect(start(data)).toEqual([])
  fs.closeSync(held)
})

test.runIf(IS_ROOT)('after a chown the former owner of a data directory, who has its lock open, cannot lock it', () => {
  using temporary = temporaryDirectory()
  const { data, lock } = left(temporary.dir, 0o600)
  const held = fs.openSync(lock, 'r+')
  const all = [data, ...fs.readdirSync(data).map((name) => join(data, name))]
  for (const path of all) fs.chownSync(path, NOBODY, NOBODY)
  expect(() => start(data)).toThrow(/belongs to the user with id 65534.*give this one to root with "chown/)
  for (const path of all) fs.chownSync(path, 0, 0)
  start(data)
  expect(nativeLocks().tryLock(held)).toBe(true)
  start(data)
  fs.closeSync(held)
})

test('a node of an earlier version, which has its lock on the old file, keeps its data directory', () => {
  using temporary = temporaryDirectory()
  const { data, lock } = left(temporary.dir, 0o644)
  const earlier = fs.openSync(lock, 'r+')
  expect(nativeLocks().tryLock(earlier)).toBe(true)
  expect(() => start(data)).toThrow(/another ltxd uses the data directory .*"fuser .*\/data\/lock" names the process/)
  expect(fs.fstatSync(earlier).ino).toBe(fs.statSync(lock).ino)
  fs.closeSync(earlier)
})

test('no second node and no reader opens the data directory of a running node, nor does an earlier version', () => {
  using temporary = temporaryDirectory()
  const { data, lock } = left(temporary.dir, 0o644)
  const old = fs.openSync(lock, 'r+')
  const node = openDataDirectory(data)
  expect(() => start(data)).toThrow(/another ltxd uses/)
  expect(() => lockForReading(data)).toThrow(/another ltxd uses/)
  expect(nativeLocks().tryLock(old)).toBe(false)
  node.close()
  start(data)
  fs.closeSync(old)
})

test('what a start that was killed, or another program, left under the name of the new lock is not in the way', () => {
  using temporary = temporaryDirectory()
  const { data, lock } = left(temporary.dir, 0o600)
  fs.writeFileSync(`${lock}.new`, '', { mode: 0o644 })
  start(data)
  expect(fs.statSync(lock).mode & 0o777).toBe(0o600)
  fs.linkSync(join(data, 'node.json'), `${lock}.new`)
  start(data)
  expect([fs.existsSync(`${lock}.new`), fs.statSync(join(data, 'node.json')).nlink]).toEqual([false, 1])
})

test('with data.mode, those who may write to the directory can open its lock, after each start', () => {
  using temporary = temporaryDirectory()
  const { data, lock } = left(temporary.dir, 0o600)
  for (let i = 0; i < 2; i++) {
    start(data, modesOf(0o770))
    expect(fs.statSync(lock).mode & 0o777).toBe(0o660)
  }
  start(data, modesOf(0o750))
  expect(fs.statSync(lock).mode & 0o777).toBe(0o600)
})
