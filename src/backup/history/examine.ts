import { createHash } from 'node:crypto'
import { Decoder } from '../../ltx/codec/decoder.ts'
import { LTXError } from '../../ltx/format/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupFile } from './history.ts'

type Examined = Pick<BackupFile, 'key' | 'min' | 'max'>

/**
 * Whether an object is damaged in the store: two reads of it give the same bytes, which are not what its name says.
 * Reads that differ are a failure of the way to it. Throws ObjectNotFoundError.
 */
export async function isDamagedInStore(
  store: ObjectStore,
  file: Examined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const first = await look(store, file, signal)
  if (!first.isDamaged) return false
  const second = await look(store, file, signal)
  return second.isDamaged && second.digest === first.digest
}

async function look(
  store: ObjectStore,
  file: Examined,
  signal: AbortSignal | undefined,
): Promise<{ readonly digest: string; readonly isDamaged: boolean }> {
  const hash = createHash('sha256')
  const decoder = new Decoder()
  let isDamaged = false
  for await (const chunk of await store.get(file.key, undefined, signal)) {
    hash.update(chunk)
    if (!isDamaged) isDamaged = !decodes(() => drain(decoder, chunk))
  }
  isDamaged ||= !decodes(() => decoder.end())
  isDamaged ||= decoder.header?.minTXID !== file.min || decoder.header.maxTXID !== file.max
  return { digest: hash.digest('hex'), isDamaged }
}

function drain(decoder: Decoder, chunk: Uint8Array): void {
  decoder.push(chunk)
  while (decoder.next() !== undefined);
}

function decodes(run: () => unknown): boolean {
  try {
    run()
    return true
  } catch (error) {
    if (error instanceof LTXError) return false
    throw error
  }
}
