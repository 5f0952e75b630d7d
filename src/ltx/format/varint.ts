/** Unsigned varints in the format of Go's encoding/binary: seven bits a byte, the lowest first. */

/** Longest varint of a safe integer. */
export const MAX_VARINT_SIZE = 8

/** Writes a safe integer. Returns the offset behind it. */
export function putUvarint(into: Uint8Array, at: number, value: number): number {
  while (value > 0x7fffffff) {
    into[at++] = (value % 128) | 0x80
    value = Math.floor(value / 128)
  }
  while (value >= 0x80) {
    into[at++] = (value & 0x7f) | 0x80
    value >>>= 7
  }
  into[at++] = value
  return at
}

/** Reads varints byte by byte. */
export class UvarintReader {
  #value = 0
  #scale = 1

  /** Returns the value at its last byte, undefined before. NaN if it is not a safe integer. */
  read(byte: number): number | undefined {
    // A sum beyond 2^53 is rounded, but never becomes small again.
    this.#value += (byte & 0x7f) * this.#scale
    if (byte >= 0x80 && this.#scale < 2 ** 63) {
      this.#scale *= 128
      return undefined
    }
    const value = byte < 0x80 && Number.isSafeInteger(this.#value) ? this.#value : NaN
    this.#value = 0
    this.#scale = 1
    return value
  }
}
