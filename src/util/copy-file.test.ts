import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { until } from '../../test/harness/wait.ts'
import { copyFile, copyFileSync } from './copy-file.ts'

const MIB = 1 << 20
const SIZE = 64 * MIB

test('a copy of a file that becomes shorter meanwhile ends', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  fs.writeFileSync(from, 'first')
  fs.truncateSync(from, SIZE)
  const copying = copyFile(from, to, 0o600, () => Promise.resolve())
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
  await copyFile(from, to, 0o600, async () => {
    fs.appendFileSync(from, 'more')
    await Promise.resolve()
  })
  copyFileSync(from, `${to}-sync`, 0o640)
  expect(Buffer.compare(fs.readFileSync(to), bytes)).toBe(0)
  expect(Buffer.compare(fs.readFileSync(`${to}-sync`), fs.readFileSync(from))).toBe(0)
  expect([to, `${to}-sync`].map((file) => fs.statSync(file).mode & 0o777)).toEqual([0o600, 0o640])
})

test('what cannot be copied is an error that names the file', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  await expect(copyFile(from, to, 0o600, () => Promise.resolve())).rejects.toThrow(`open '${from}'`)
  expect(() => copyFileSync(from, to, 0o600)).toThrow(`open '${from}'`)
})

test('holes stay holes: a copy takes no more of the disk than the file', async () => {
  using temporary = temporaryDirectory()
  const [from, to] = [join(temporary.dir, 'from'), join(temporary.dir, 'to')]
  const fd = fs.openSync(from, 'w')
  const at = [0, 5 * MIB + 4095, 40 * MIB]
  for (const position of at) fs.writeSync(fd, 'bytes', position)
  fs.ftruncateSync(fd, SIZE)
  fs.closeSync(fd)
  await copyFile(from, to, 0o600, () => Promise.resolve())
  copyFileSync(from, `${to}-sync`, 0o600)
  for (const copy of [to, `${to}-sync`]) {
    expect(fs.readFileSync(copy).equals(fs.readFileSync(from))).toBe(true)
    expect(fs.statSync(copy).blocks * 512).toBeLessThan(MIB)
  }
})
