import { HEADER_SIZE } from '../../src/ltx/format/header.ts'
import { LenientFrames } from './lenient-lz4.ts'

/** A page found by reading a file from its start: the offset of its header, and the end of its data. */
interface Place {
  readonly at: number
  readonly flags: number
  /** Behind the block, or in front of the end mark of the LZ4 frame. */
  readonly end: number
}

/** The pages of a file, up to damage that makes the next one unfindable. */
export function* walkPages(file: Uint8Array): Generator<Place> {
  if (file.length < HEADER_SIZE) return
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const page = new Uint8Array(Math.min(65536, view.getUint32(8)))
  const frames = new LenientFrames()
  for (let at = HEADER_SIZE; at + 10 <= file.length;) {
    const flags = view.getUint16(at + 4)
    if (flags === 1) {
      const end = at + 10 + view.getUint32(at + 6)
      yield { at, flags, end }
      at = end
      continue
    }
    const size = flags === 0 ? frames.read(file.subarray(at + 6), page) : -1
    if (size < 0) return
    yield { at, flags, end: at + 6 + size }
    at += 6 + size + 8
  }
}

/** More than the size of any file of the fuzzer. */
const LARGE = 4 * 1024 * 1024

/**
 * Replaces huge size fields for the reference, which allocates up to 4 GiB before it notices that the file is too
 * short. A size that is a little too large has the same result.
 */
export function withoutHugeSizes(file: Uint8Array): Uint8Array {
  if (file.length > LARGE) throw new RangeError(`a file of ${file.length} bytes is too long for this`)
  for (const { at, flags, end } of walkPages(file)) {
    if (flags !== 1 || end - at <= LARGE) continue
    const tame = file.slice()
    new DataView(tame.buffer).setUint32(at + 6, LARGE)
    return tame
  }
  return file
}
