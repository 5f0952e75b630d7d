/**
 * Copies of files that others write to meanwhile, and may truncate. Without blocks to share, `fs.copyFile` never ends
 * when its source becomes shorter: libuv's loop waits for as many bytes as the file had at first.
 */

import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { dataRanges } from './file-holes.ts'
import { native } from './path-bytes.ts'

const CHUNK_BYTES = 1 << 20
/** What is zero in the source is a hole in the copy, in blocks of this size: others can make a file of any length. */
const BLOCK_BYTES = 4096
const ZEROS = Buffer.alloc(CHUNK_BYTES)
const { COPYFILE_FICLONE_FORCE } = fs.constants

export interface CopyOptions {
  /** Called with the length of the file, before a copy that needs room on the disk. */
  readonly before?: (sizeBytes: number) => Promise<void>
  /** Holes are not read, after a sync of the file. */
  readonly skipsHoles?: boolean
  /** The copy is durable at the end. */
  readonly durable?: boolean
  readonly signal?: AbortSignal
}

/**
 * Copies what `from` has, up to the length that it has at first. On file systems that can, the copy shares its blocks.
 * Throws the reason of the signal; what was copied is left.
 */
export async function copyFile(from: string, to: string, mode: number, options: CopyOptions = {}): Promise<void> {
  options.signal?.throwIfAborted()
  const isShared = await fs.promises.copyFile(native(from), native(to), COPYFILE_FICLONE_FORCE).then(
    () => true,
    () => false,
  )
  if (!isShared) await copyBytes(from, to, mode, options)
  // A copy that shares blocks has the mode of its source.
  else await fs.promises.chmod(native(to), mode)
  if (isShared && options.durable === true) await sync(to)
}

async function copyBytes(from: string, to: string, mode: number, options: CopyOptions): Promise<void> {
  const source = await fs.promises.open(native(from), 'r')
  try {
    const { size } = await source.stat()
    await options.before?.(size)
    const target = await fs.promises.open(native(to), 'w', mode)
    try {
      await target.chmod(mode)
      await target.truncate(await copyRanges(source, target, size, options))
      if (options.durable === true) await target.sync()
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** Returns the length of the copy. */
async function copyRanges(
  source: FileHandle,
  target: FileHandle,
  sizeBytes: number,
  { skipsHoles = false, signal }: CopyOptions,
): Promise<number> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  if (skipsHoles) await source.sync()
  const ranges = skipsHoles ? dataRanges(source.fd, sizeBytes) : [{ from: 0, to: sizeBytes }]
  for (const range of ranges) {
    for (let at = range.from; at < range.to;) {
      signal?.throwIfAborted()
      const { bytesRead } = await source.read(buffer, 0, Math.min(CHUNK_BYTES, range.to - at), at)
      if (bytesRead === 0) return at
      for (const [from, to] of written(buffer.subarray(0, bytesRead))) {
        for (let done = from; done < to;) done += (await target.write(buffer, done, to - done, at + done)).bytesWritten
      }
      at += bytesRead
    }
  }
  return sizeBytes
}

async function sync(path: string): Promise<void> {
  const handle = await fs.promises.open(native(path), 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
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
