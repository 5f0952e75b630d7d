import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { until } from '../../test/harness/wait.ts'
import { copyFile } from './copy-file.ts'

const MIB = 1 << 20
const SIZE = 64 * MIB

test('a copy of a file that becomes shorter meanwhile ends', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  fs.writeFileSync(from, 'first')
  fs.truncateSync(from, SIZE)
  const copying = copyFile(from, to, 0o600)
  const hasBegun = () => (fs.statSync(to, { throwIfNoEntry: false })?.size ?? 0) > 0
  await until('its first bytes', 60_000, hasBegun, 1)
  fs.truncateSync(from, MIB)
  await copying
  expect(fs.statSync(to).size).toBeLessThanOrEqual(SIZE)
  expect(fs.readFileSync(to).subarray(0, 5).toString()).toBe('first')
})

test('a copy has what the file has at first, and the mode that is asked for', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  const bytes = Buffer.alloc(3 * MIB + 7, 'some bytes')
  fs.writeFileSync(from, bytes, { mode: 0o644 })
  const before = async () => {
    fs.appendFileSync(from, 'more')
    await Promise.resolve()
  }
  await copyFile(from, to, 0o600, { before, durable: true })
  expect(Buffer.compare(fs.readFileSync(to), bytes)).toBe(0)
  expect(fs.statSync(to).mode & 0o777).toBe(0o600)
})

test('what cannot be copied is an error that names the file', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  await expect(copyFile(from, to, 0o600)).rejects.toThrow(`open '${from}'`)
})

test('holes stay holes: a copy takes no more of the disk than the file', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  const fd = fs.openSync(from, 'w')
  const at = [0, 5 * MIB + 4095, 40 * MIB]
  for (const position of at) fs.writeSync(fd, 'bytes', position)
  fs.ftruncateSync(fd, SIZE)
  fs.closeSync(fd)
  for (const skipsHoles of [false, true]) {
    await copyFile(from, to, 0o600, { skipsHoles })
    expect(fs.readFileSync(to).equals(fs.readFileSync(from))).toBe(true)
    expect(fs.statSync(to).blocks * 512).toBeLessThan(MIB)
  }
})

test('holes that are skipped are not read, and data at any offset is found', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  const fd = fs.openSync(from, 'w')
  const sizeBytes = 2 ** 42
  fs.ftruncateSync(fd, sizeBytes)
  const at = [7, 2 ** 33 + 1, sizeBytes - 5]
  for (const position of at) fs.writeSync(fd, 'bytes', position)
  fs.closeSync(fd)
  const started = performance.now()
  await copyFile(from, to, 0o600, { skipsHoles: true })
  expect(performance.now() - started).toBeLessThan(10_000)
  const copy = fs.openSync(to, 'r')
  const read = Buffer.alloc(5)
  for (const position of at) expect(fs.readSync(copy, read, 0, 5, position) && read.toString()).toBe('bytes')
  expect(fs.fstatSync(copy)).toMatchObject({ size: sizeBytes })
  expect(fs.fstatSync(copy).blocks * 512).toBeLessThan(MIB)
  fs.closeSync(copy)
})

test('a copy ends when it is told to', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  fs.writeFileSync(from, '')
  fs.truncateSync(from, 2 ** 42)
  const stop = new AbortController()
  const copying = copyFile(from, to, 0o600, { signal: stop.signal })
  const hasBegun = () => fs.existsSync(to)
  await until('the copy to begin', 60_000, hasBegun, 1)
  stop.abort(new Error('stopping'))
  await expect(copying).rejects.toThrow('stopping')
})
