import fs from 'node:fs'
import { expect, test } from 'vitest'
import { withBoundedMemory } from '../../test/harness/allocations.ts'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { toTXID } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { foldAll, peekPageChecksums, readPageChecksums, writePageChecksums } from './page-checksums.ts'

const checksums = BigUint64Array.from(
  { length: 100 },
  (_, i) => (1n << 63n) | ((BigInt(i) * 0x9e3779b97f4a7c15n) % (1n << 63n)),
)

test('page checksums are read back as they were written', () => {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/pages.bin`
  const position = { txid: toTXID(77), checksum: foldAll(checksums) }
  writePageChecksums(nodeFiles, path, position, checksums)
  expect(readPageChecksums(nodeFiles, path)).toEqual({ position, checksums })
  expect(peekPageChecksums(nodeFiles, path)).toBe(position.txid)
})

test('a damaged or truncated table is not used', () => {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/pages.bin`
  writePageChecksums(nodeFiles, path, { txid: toTXID(77), checksum: foldAll(checksums) }, checksums)
  const bytes = fs.readFileSync(path)
  for (const at of [0, 8, 16, 24, 32, 40, 500, bytes.length - 1]) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] as number) ^ 1
    fs.writeFileSync(path, damaged)
    expect(readPageChecksums(nodeFiles, path), `byte ${at}`).toBeUndefined()
  }
  const swapped = Buffer.from(bytes)
  bytes.copy(swapped, 40, 48, 56)
  bytes.copy(swapped, 48, 40, 48)
  fs.writeFileSync(path, swapped)
  expect(readPageChecksums(nodeFiles, path), 'two entries that changed places').toBeUndefined()
  for (const length of [0, 7, 31, 40, 35, bytes.length - 8, bytes.length - 1]) {
    fs.writeFileSync(path, bytes.subarray(0, length))
    expect(readPageChecksums(nodeFiles, path), `${length} bytes`).toBeUndefined()
  }
  fs.unlinkSync(path)
  expect(readPageChecksums(nodeFiles, path)).toBeUndefined()
})

test('I10: no memory is taken for a number of pages that the file does not hold, nor for a file that does not say it', async () => {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/pages.bin`
  writePageChecksums(nodeFiles, path, { txid: toTXID(77), checksum: foldAll(checksums) }, checksums)
  const bytes = fs.readFileSync(path)
  for (const count of [0xfffffffen, 1n << 40n, (1n << 64n) - 1n]) {
    const forged = Buffer.from(bytes)
    forged.writeBigUInt64BE(count, 24)
    fs.writeFileSync(path, forged)
    expect(await withBoundedMemory(() => readPageChecksums(nodeFiles, path))).toBeUndefined()
  }
  fs.writeFileSync(path, bytes)
  fs.truncateSync(path, 2 ** 33)
  expect(await withBoundedMemory(() => readPageChecksums(nodeFiles, path))).toBeUndefined()
})
