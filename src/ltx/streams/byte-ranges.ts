import type { ByteBlob } from './byte-input.ts'

/** A file of which any part can be read, as PageReader needs it. */
export interface ByteRanges {
  /** Of the whole file. */
  readonly sizeBytes: number
  /** Returns exactly `length` bytes from byte `offset` on. The range must lie within the file. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Bytes cannot be read: the file has changed, or its server does not support ranges. */
export class RangeReadError extends Error {
  readonly code = 'LTX_RANGE_READ'

  /** @internal */
  constructor(problem: string) {
    super(problem)
    this.name = 'RangeReadError'
  }
}

/** A Blob, or a File that a user has chosen. */
export function blobRanges(blob: ByteBlob): ByteRanges {
  return {
    sizeBytes: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  }
}

/** The used part of a file handle of `node:fs/promises`, which Bun and Deno have, too. */
export interface FileHandleLike {
  stat(): Promise<{ readonly size: number }>
  read(into: Uint8Array, at: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
}

/** An open file. The caller closes it. Reading throws RangeReadError if the file gets shorter. */
export async function fileRanges(handle: FileHandleLike): Promise<ByteRanges> {
  const { size } = await handle.stat()
  return {
    sizeBytes: size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length)
      for (let done = 0; done < length;) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done)
        if (bytesRead === 0) throw new RangeReadError(`the file has no byte ${offset + done}: expected ${size} bytes`)
        done += bytesRead
      }
      return bytes
    },
  }
}
