/** The frames that the last call of `CRCRegister.decodeFrames` found. */
import { FRAME_WORDS, frames, sequence } from './instance.ts'

/**
 * Which frames are accepted: page numbers above `prevPgno`, ascending, up to `lastPgno`. Where `isDense`, only the lock
 * page may be absent.
 */
export interface FrameOrder {
  prevPgno: number
  readonly lastPgno: number
  readonly lockPgno: number
  readonly isDense: boolean
}

/** Two independent 32-bit hashes over pairs of numbers below 2^32. `CRCRegister.decodeFrames` continues them. */
export class SequenceHash {
  count = 0
  #a = 0x811c9dc5 | 0
  #b = 0x9747b28c | 0

  add(first: number, second: number): void {
    this.count++
    this.#a = mix(mix(this.#a, first, 0x85ebca6b), second, 0x85ebca6b)
    this.#b = mix(mix(this.#b, first, 0x1b873593), second, 0x1b873593)
  }

  equals(other: SequenceHash): boolean {
    return this.#a === other.#a && this.#b === other.#b && this.count === other.count
  }

  load(): void {
    sequence[0] = this.#a
    sequence[1] = this.#b
  }

  store(count: number): void {
    this.#a = sequence[0]!
    this.#b = sequence[1]!
    this.count += count
  }
}

/** Bytes of the frames. */
export function framesBytes(): number {
  return sequence[2]!
}

/** Copies FRAME_WORDS for each of the `count` frames. */
export function saveFrames(into: Int32Array, count: number): void {
  into.set(frames.subarray(0, FRAME_WORDS * count))
}

/** A step of MurmurHash3: injective in the hash for each word, and in the word for each hash. */
function mix(hash: number, word: number, factor: number): number {
  const k = Math.imul(hash ^ word, factor)
  return (Math.imul((k << 13) | (k >>> 19), 5) + (factor | 0)) | 0
}
