import { Decoder } from '../../ltx/codec/decoder.ts'
import { foldChecksum, pageChecksum } from '../../ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupFile } from './history.ts'
import { openInput } from './objects.ts'

/** What an object says of itself. */
export interface Decoded {
  readonly timestampMs: number
  readonly pageSize: number
  readonly commit: number
  /** Of a file that holds every page. */
  readonly checksum?: Checksum
}

/** Reads an object whole. Computes the checksum only of a file that holds every page. */
export async function decoded(store: ObjectStore, file: BackupFile, signal: AbortSignal | undefined): Promise<Decoded> {
  const decoder = new Decoder()
  let checksum: Checksum = EMPTY_CHECKSUM
  for await (const chunk of await openInput(store, file, signal).open()) {
    decoder.push(chunk)
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      if (file.min === 1n) checksum = foldChecksum(checksum, pageChecksum(frame.pgno, frame.page()))
    }
  }
  decoder.end()
  if (decoder.header === undefined) throw new Error('a decoded file has no header')
  const { timestampMs, pageSize, commit } = decoder.header
  return { timestampMs, pageSize, commit, ...(file.min === 1n && { checksum }) }
}
