import type { ByteBlob } from './byte-input.ts'

/** A file of which any part can be read: what a PageReader needs. */
export interface ByteRanges {
  /** Of the whole file. */
  readonly sizeBytes: number
  /** Exactly `length` bytes from byte `offset` on, which lie within the file. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Bytes that should be there cannot be had: the file has changed, or its server does not give parts of it. */
export class RangeReadError extends Error {
  readonly code = 'LTX_RANGE_READ'

  /** @internal */
  constructor(problem: string) {
    super(problem)
    this.name = 'RangeReadError'
  }
}

/** A Blob, or a File that somebody has chosen. */
export function blobRanges(blob: ByteBlob): ByteRanges {
  return {
    sizeBytes: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  }
}

/** The part of a file handle that is used: those of `node:fs/promises`, which Bun and Deno have, too. */
export interface FileHandleLike {
  stat(): Promise<{ readonly size: number }>
  read(into: Uint8Array, at: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
}

/** An open file, which stays the caller's to close. Reading throws RangeReadError if the file gets shorter. */
export async function fileRanges(handle: FileHandleLike): Promise<ByteRanges> {
  const { size } = await handle.stat()
  return {
    sizeBytes: size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length)
      for (let done = 0; done < length;) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done)
        if (bytesRead === 0) throw new RangeReadError(`the file has no byte ${offset + done}, but had ${size} bytes`)
        done += bytesRead
      }
      return bytes
    },
  }
}
