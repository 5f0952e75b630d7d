/**
 * Writes a segment anew after an fsync of it has failed. The kernel then takes its pages for written, so no later fsync
 * would write them: only other pages, of another file, become durable.
 */

import fs from 'node:fs'
import type { Files } from '../util/files.ts'
import { CorruptLogError } from './errors.ts'
import { scanSegment } from './scan.ts'

export interface OpenSegment {
  readonly path: string
  readonly fd: number
  /** The end of its last whole record. */
  readonly end: number
}

/** Beside the segments, until it takes the place of one. */
const NAME = 'rewritten'
const CHUNK_SIZE = 1 << 20

/**
 * Replaces the segment by a durable copy. Every record is verified: what the kernel dropped from its cache may be gone.
 * Returns the descriptor of the copy; that of the segment is closed. The name becomes durable with its directory.
 */
export function rewriteSegment(files: Files, dir: string, { path, fd, end }: OpenSegment): number {
  const { O_RDWR, O_CREAT, O_TRUNC } = fs.constants
  const copy = files.open(`${dir}/${NAME}`, O_RDWR | O_CREAT | O_TRUNC)
  try {
    const chunk = new Uint8Array(Math.min(CHUNK_SIZE, end))
    for (let at = 0; at < end;) {
      const n = files.read(fd, chunk, 0, Math.min(chunk.length, end - at), at)
      if (n === 0) throw new CorruptLogError(path, at, `it ends ${end - at} bytes early`)
      files.write(copy, chunk, 0, n, at)
      at += n
    }
    files.sync(copy)
    const scan = scanSegment(
      files,
      copy,
      0,
      () => true,
      () => {},
    )
    if (scan.end !== end) throw new CorruptLogError(path, scan.end, scan.damage?.problem ?? 'it ends early')
    files.rename(`${dir}/${NAME}`, path)
  } catch (error) {
    files.close(copy)
    throw error
  }
  files.close(fd)
  return copy
}

/** Removes what a crash left of it. */
export function removeRewritten(files: Files, dir: string): void {
  files.remove(`${dir}/${NAME}`)
}
