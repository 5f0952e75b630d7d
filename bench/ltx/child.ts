/**
 * Runs one task of the LTX rows: `child.js ltxd|library TASK ARGUMENT…` prints its cost as a line of JSON.
 * bench/reference/main.go is the counterpart. Both read and write files in pieces of the same size.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { compressSync, uncompressSync } from 'lz4-napi'
import { Decoder } from '../../src/ltx/codec/decoder.ts'
import { Encoder } from '../../src/ltx/codec/encoder.ts'
import { CRCRegister } from '../../src/ltx/kernels/crc.ts'
import { blockBound, compressInto, decompressInto } from '../../src/ltx/kernels/lz4-block.ts'
import { compact } from '../../src/ltx/merge/compactor.ts'
import { fileInputs } from '../../src/ltx/merge/file-inputs.ts'
import { type Cost, PAGE_SIZE, type TaskName } from './cost.ts'
import { changeHeader } from './fixture-files.ts'

const CHUNK_BYTES = 256 * 1024

/** A task. Preparations before it returns its function do not count. */
type Done = Pick<Cost, 'operations' | 'share'>
type Task = (args: readonly string[]) => () => Done | Promise<Done>

const LTXD: Readonly<Record<TaskName, Task>> = {
  compact:
    ([out, ...inputs]) =>
    async () => {
      const compaction = compact(fileInputs(inputs), { noChecksum: true, reuseChunks: true })
      const fd = openSync(out!, 'w')
      for await (const chunk of compaction) writeAll(fd, chunk)
      closeSync(fd)
      return { operations: 1 }
    },

  verify:
    ([file]) =>
    () => {
      const decoder = new Decoder()
      for (const chunk of chunksOf(file!)) {
        decoder.push(chunk)
        while (decoder.next() !== undefined);
      }
      decoder.end()
      return { operations: decoder.pageCount }
    },

  encode:
    ([database, out]) =>
    () => {
      const fd = openSync(out!, 'w')
      const input = openSync(database!, 'r')
      const commit = fstatSync(input).size / PAGE_SIZE
      closeSync(input)
      const encoder = new Encoder(changeHeader(1, commit), (chunk) => writeAll(fd, chunk))
      let pgno = 0
      for (const chunk of chunksOf(database!)) {
        for (let at = 0; at < chunk.length; at += PAGE_SIZE) {
          encoder.writePage(++pgno, chunk.subarray(at, at + PAGE_SIZE))
        }
      }
      const { sizeBytes } = encoder.finish(0n)
      closeSync(fd)
      return { operations: pgno, share: sizeBytes / (commit * PAGE_SIZE) }
    },

  crc: (args) => {
    const pages = samples(args)
    const register = new CRCRegister()
    return () => repeat(pages, (page) => register.update(page))
  },

  // Compresses into an existing buffer, as the encoder does. The page checksum has a row of its own.
  compress: (args) => {
    const out = new Uint8Array(2 * PAGE_SIZE)
    return compressing(samples(args), (page) => {
      const block = compressInto(page)
      out.set(block)
      return block.length
    })
  },

  decompress: ([file]) => {
    const blocks = blocksOf(file!)
    return () => repeat(blocks, (block) => void decompressInto(block, 0, PAGE_SIZE, 0))
  },
}

/** lz4-napi, for Node.js. CRC-64 is compared with the reference. */
const LIBRARY: Partial<Record<TaskName, Task>> = {
  compress: (args) => compressing(samples(args), (page) => compressSync(page).length - 4),

  decompress: ([file]) => {
    // lz4-napi expects the decompressed size before the block.
    const size = Buffer.alloc(4)
    size.writeUInt32LE(PAGE_SIZE)
    const blocks = blocksOf(file!).map((block) => Buffer.concat([size, block]))
    return () => repeat(blocks, (block) => void uncompressSync(block))
  },
}

function compressing(pages: readonly Buffer[], sizeOf: (page: Buffer) => number): () => Done {
  return () => {
    let bytes = 0
    const { operations } = repeat(pages, (page) => (bytes += sizeOf(page)))
    return { operations, share: bytes / (operations * PAGE_SIZE) }
  }
}

/** Repeats the work for a second. */
function repeat<T>(items: readonly T[], work: (item: T) => void): Done {
  let operations = 0
  for (const startMs = performance.now(); performance.now() - startMs < 1000; operations += items.length) {
    for (const item of items) work(item)
  }
  return { operations }
}

/** Every stride-th page of a file. */
function samples([file, stride]: readonly string[]): Buffer[] {
  const fd = openSync(file!, 'r')
  const pages: Buffer[] = []
  for (let n = 0; ; n += Number(stride)) {
    const page = Buffer.alloc(PAGE_SIZE)
    if (readSync(fd, page, 0, PAGE_SIZE, n * PAGE_SIZE) === 0) break
    pages.push(page)
  }
  closeSync(fd)
  return pages
}

/** The blocks of a file, each after its size in four bytes. */
function blocksOf(file: string): Buffer[] {
  const bytes = readFileSync(file)
  const blocks: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at)
    blocks.push(bytes.subarray(at + 4, end))
    at = end
  }
  if (blocks.some((block) => block.length > blockBound(PAGE_SIZE))) throw new Error(`${file} is not a file of blocks`)
  return blocks
}

/** The pages of a file. Each is valid until the next one. */
function* chunksOf(file: string): Iterable<Uint8Array> {
  const fd = openSync(file, 'r')
  const buffer = new Uint8Array(CHUNK_BYTES)
  for (;;) {
    const read = readSync(fd, buffer, 0, CHUNK_BYTES, null)
    if (read === 0) break
    yield buffer.subarray(0, read)
  }
  closeSync(fd)
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at)
}

const [side, name, ...args] = process.argv.slice(2)
const task = (side === 'library' ? LIBRARY : LTXD)[name as TaskName]
if (task === undefined) throw new Error(`${side} has no task ${name}`)
const run = task(args)
const before = process.cpuUsage()
const startMs = performance.now()
const done = await run()
const seconds = (performance.now() - startMs) / 1000
const { user, system } = process.cpuUsage(before)
const cost: Cost = {
  ...done,
  seconds,
  cpuSeconds: (user + system) / 1e6,
  peakBytes: process.resourceUsage().maxRSS * 1024,
}
console.log(JSON.stringify(cost))
