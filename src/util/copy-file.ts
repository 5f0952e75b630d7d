/**
 * Copies of files that others write to meanwhile, and may truncate. Without blocks to share, `fs.copyFile` never ends
 * when its source becomes shorter: libuv's loop waits for as many bytes as the file had at first.
 */

import fs from 'node:fs'
import { native } from './path-bytes.ts'

const CHUNK_BYTES = 1 << 20
const FIRST_BYTES = 4096
/** What is zero in the source is a hole in the copy, in blocks of this size: others can make a file of any length. */
const BLOCK_BYTES = 4096
const ZEROS = Buffer.alloc(CHUNK_BYTES)
const { COPYFILE_FICLONE_FORCE } = fs.constants

/**
 * Copies what `from` has, up to the length that it has at first. On file systems that can, the copy shares its blocks.
 * `beforeBytes` is called with that length before a copy that needs room on the disk.
 */
export async function copyFile(
  from: string,
  to: string,
  mode: number,
  beforeBytes: (sizeBytes: number) => Promise<void>,
): Promise<void> {
  const isShared = await fs.promises.copyFile(native(from), native(to), COPYFILE_FICLONE_FORCE).then(
    () => true,
    () => false,
  )
  if (!isShared) await copyBytes(from, to, mode, beforeBytes)
  // A copy that shares blocks has the mode of its source.
  else await fs.promises.chmod(native(to), mode)
}

async function copyBytes(
  from: string,
  to: string,
  mode: number,
  before: (sizeBytes: number) => Promise<void>,
): Promise<void> {
  const source = await fs.promises.open(native(from), 'r')
  try {
    const { size, blocks } = await source.stat()
    await before(size)
    const target = await fs.promises.open(native(to), 'w', mode)
    try {
      await target.chmod(mode)
      const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
      let at = blocks === 0 && isZero(await firstOf(source)) ? size : 0
      while (at < size) {
        const { bytesRead } = await source.read(buffer, 0, Math.min(CHUNK_BYTES, size - at), at)
        if (bytesRead === 0) break
        for (const [from, to] of written(buffer.subarray(0, bytesRead))) {
          for (let done = from; done < to;)
            done += (await target.write(buffer, done, to - done, at + done)).bytesWritten
        }
        at += bytesRead
      }
      await target.truncate(at)
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** The same while the caller waits. */
export function copyFileSync(from: string, to: string, mode: number): void {
  try {
    fs.copyFileSync(native(from), native(to), COPYFILE_FICLONE_FORCE)
  } catch {
    copyBytesSync(from, to)
  }
  fs.chmodSync(native(to), mode)
}

function copyBytesSync(from: string, to: string): void {
  const source = fs.openSync(native(from), 'r')
  try {
    const target = fs.openSync(native(to), 'w', 0o600)
    try {
      const { size, blocks } = fs.fstatSync(source)
      const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
      let at = blocks === 0 && isZero(firstOfSync(source)) ? size : 0
      while (at < size) {
        const bytesRead = fs.readSync(source, buffer, 0, Math.min(CHUNK_BYTES, size - at), at)
        if (bytesRead === 0) break
        for (const [from, to] of written(buffer.subarray(0, bytesRead))) {
          for (let done = from; done < to;) done += fs.writeSync(target, buffer, done, to - done, at + done)
        }
        at += bytesRead
      }
      fs.ftruncateSync(target, at)
    } finally {
      fs.closeSync(target)
    }
  } finally {
    fs.closeSync(source)
  }
}

/**
 * The beginning of a file. Not every file system counts blocks: a file that has none is one hole only if it begins with
 * zeros, too, which no database, WAL or journal does.
 */
async function firstOf(source: fs.promises.FileHandle): Promise<Buffer> {
  const first = Buffer.alloc(FIRST_BYTES)
  return first.subarray(0, (await source.read(first, 0, FIRST_BYTES, 0)).bytesRead)
}

function firstOfSync(source: number): Buffer {
  const first = Buffer.alloc(FIRST_BYTES)
  return first.subarray(0, fs.readSync(source, first, 0, FIRST_BYTES, 0))
}

function isZero(chunk: Buffer): boolean {
  return chunk.equals(ZEROS.subarray(0, chunk.length))
}

/** How many bytes a copy of the file takes on the disk, at most. */
export function bytesOnDisk({ size, blocks }: Pick<fs.Stats, 'size' | 'blocks'>): number {
  return Math.min(size, blocks * 512)
}

/** The ranges of a chunk that are not zero, in whole blocks. */
function* written(chunk: Buffer): Generator<[number, number]> {
  if (isZero(chunk)) return
  let from: number | undefined
  for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
    const block = chunk.subarray(at, at + BLOCK_BYTES)
    const isZero = block.equals(ZEROS.subarray(0, block.length))
    if (isZero && from !== undefined) yield [from, at]
    from = isZero ? undefined : (from ?? at)
  }
  if (from !== undefined) yield [from, chunk.length]
}
