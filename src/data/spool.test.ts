import { readdirSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { Spool } from './spool.ts'

const MB = 1_000_000

/** A stream that ends when it is told to. */
function gated(sizeBytes: number) {
  let go = () => {}
  const gate = new Promise<void>((resolve) => (go = resolve))
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(sizeBytes / 2)
    await gate
    yield new Uint8Array(sizeBytes / 2)
  }
  return { bytes: bytes(), go }
}

const full = expect.objectContaining({ code: 'SPOOL_FULL' }) as Error

test('what lies and arrives in the spool is bounded, and goes on as files are removed', async () => {
  using temporary = temporaryDirectory()
  const spool = new Spool(filesBeneath(temporary.dir), temporary.dir, 4 * MB)
  const [first, second] = [gated(2 * MB), gated(2 * MB)]
  const writing = [spool.write(first.bytes, 2 * MB), spool.write(second.bytes, 2 * MB)]
  await expect(spool.write(gated(2).bytes, 2)).rejects.toEqual(full)
  first.go()
  const { file } = await (writing[0] as Promise<{ file: string }>)
  await expect(spool.write(gated(MB).bytes, MB)).rejects.toEqual(full)
  rmSync(file)
  const third = gated(2 * MB)
  third.go()
  await spool.write(third.bytes, 2 * MB)
  second.go()
  await Promise.all(writing)
  expect(readdirSync(`${temporary.dir}/spool`)).toHaveLength(2)
})

test('one transaction that is larger than the bound is taken alone', async () => {
  using temporary = temporaryDirectory()
  const spool = new Spool(filesBeneath(temporary.dir), temporary.dir, MB)
  const large = gated(3 * MB)
  large.go()
  const { file } = await spool.write(large.bytes, 3 * MB)
  await expect(spool.write(gated(2).bytes, 2)).rejects.toEqual(full)
  rmSync(file)
  const next = gated(2)
  next.go()
  await spool.write(next.bytes, 2)
})

test('a file of the backup, which a node needs before it leads, is not held up', async () => {
  using temporary = temporaryDirectory()
  const spool = new Spool(filesBeneath(temporary.dir), temporary.dir, MB)
  for (let i = 0; i < 3; i++) {
    const file = gated(MB)
    file.go()
    await spool.write(file.bytes)
  }
  expect(readdirSync(`${temporary.dir}/spool`)).toHaveLength(3)
})

test('a transfer that fails leaves its room to others', async () => {
  using temporary = temporaryDirectory()
  const spool = new Spool(filesBeneath(temporary.dir), temporary.dir, MB)
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(MB / 2)
    await Promise.resolve()
    throw new Error('the connection is lost')
  }
  await expect(spool.write(broken(), MB)).rejects.toThrow('the connection is lost')
  const next = gated(MB)
  next.go()
  await spool.write(next.bytes, MB)
})
