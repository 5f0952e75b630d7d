import { readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { HANG_MS } from '../../../test/harness/effort.ts'
import { decode, encode } from '../file.ts'
import { NO_CHECKSUM } from '../format/header.ts'
import { toTXID } from '../format/types.ts'
import { header, pageOf } from '../testing.ts'
import { compact } from './compactor.ts'
import { fileInputs } from './file-inputs.ts'

let directory: string
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'ltxd-inputs-'))))
afterAll(() => rm(directory, { recursive: true }))

/** Transaction `txid` changes `count` pages of a database of a hundred: its own, and those behind it. */
function change(txid: number, count: number): [Uint8Array, Map<number, Uint8Array>] {
  const pgnos = Array.from({ length: count }, (_, n) => 1 + ((txid + n) % 100)).sort((a, b) => a - b)
  const pages = new Map(pgnos.map((pgno) => [pgno, pageOf(512, txid * 1000 + pgno)]))
  const fields = { flags: NO_CHECKSUM, commit: 100, minTXID: toTXID(txid), preApplyChecksum: 0n as const }
  return [encode(header(fields), pages, 0n), pages]
}

async function writeChain(name: string, transactions: number, pagesEach: number) {
  const expected = new Map<number, Uint8Array>()
  const paths: string[] = []
  for (let txid = 2; txid < transactions + 2; txid++) {
    const [bytes, pages] = change(txid, pagesEach)
    for (const [pgno, page] of pages) expected.set(pgno, page)
    paths.push(join(directory, `${name}-${txid}.ltx`))
    await writeFile(paths.at(-1), bytes)
  }
  return { paths, expected: new Map([...expected].sort(([a], [b]) => a - b)) }
}

/** Merges, and counts how many files were open at most right after a read. */
async function merged(paths: readonly string[], options: Parameters<typeof fileInputs>[1] = {}, reuseChunks = true) {
  const chunks: Uint8Array[] = []
  let openFiles = 0
  let reads = 0
  const everyRead = Math.ceil(paths.length / 100)
  const before = descriptors()
  const inputs = fileInputs(paths, options).map((input) => ({
    ...input,
    async *open() {
      for await (const chunk of await input.open()) {
        if (reads++ % everyRead === 0) openFiles = Math.max(openFiles, descriptors() - before)
        yield chunk
      }
    },
  }))
  for await (const chunk of compact(inputs, { noChecksum: true, reuseChunks })) {
    chunks.push(reuseChunks ? chunk.slice() : chunk)
  }
  // The synchronous path, without the counting wrapper, must give the same result.
  const prompt: Uint8Array[] = []
  for await (const chunk of compact(fileInputs(paths, options), { noChecksum: true })) prompt.push(chunk)
  expect(Buffer.concat(prompt).equals(Buffer.concat(chunks))).toBe(true)
  return { file: decode(Buffer.concat(chunks)), openFiles, leftOpen: descriptors() - before }
}

/** Of files: what else the process has open comes and goes. */
function descriptors(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory)
    } catch {
      return false
    }
  }).length
}

test(
  'ten thousand files are merged at once, and none stays open',
  async () => {
    const { paths, expected } = await writeChain('small', 10_000, 1)
    const { file, openFiles, leftOpen } = await merged(paths)
    expect(file.header).toMatchObject({ minTXID: 2n, maxTXID: 10_001n })
    expect([...file.pages]).toEqual([...expected])
    expect(openFiles).toBe(0)
    expect(leftOpen).toBe(0)
  },
  HANG_MS,
)

test('files larger than their share of memory are read in chunks, with at most maxOpen of them open', async () => {
  const { paths, expected } = await writeChain('large', 40, 90)
  for (const reuseChunks of [true, false]) {
    const { file, openFiles, leftOpen } = await merged(paths, { memoryBytes: 1, maxOpen: 5 }, reuseChunks)
    expect([...file.pages]).toEqual([...expected])
    expect(openFiles).toBe(5)
    expect(leftOpen).toBe(0)
  }
})

test('an error names the missing file, or the file that was cut short', async () => {
  const { paths } = await writeChain('broken', 3, 90)
  await truncate(paths[1]!, 6000)
  await expect(merged(paths, { memoryBytes: 1 })).rejects.toThrow(`${paths[1]!}: `)
  await rm(paths[1]!)
  await expect(merged(paths)).rejects.toMatchObject({ code: 'ENOENT', path: paths[1]! })
})
