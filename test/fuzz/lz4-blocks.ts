/** LZ4 blocks of many kinds: from a compressor, valid but unusual ones, and invalid ones. */
import { compressBlock } from '../../src/ltx/kernels/lz4-block.ts'
import type { Chance } from './chance.ts'

/** A page and a block of it. */
export function validBlock(chance: Chance, pageSize: number): Uint8Array {
  if (chance.oneIn(3)) return randomSequences(chance, pageSize)
  const page = somePage(chance, pageSize)
  return chance.oneIn(4) ? literals(page) : compressBlock(page)
}

/** Zeroes, one repeated byte, a few repeated bytes, or noise followed by zeroes. */
export function somePage(chance: Chance, pageSize: number): Uint8Array {
  const page = new Uint8Array(pageSize)
  const kind = chance.integer(0, 3)
  if (kind === 1) page.fill(chance.integer(0, 255))
  if (kind === 2) {
    const word = chance.bytes(chance.integer(1, 40))
    for (let at = 0; at < pageSize; at++) page[at] = word[at % word.length]!
  }
  if (kind === 3) page.set(chance.bytes(chance.oneIn(4) ? pageSize : chance.integer(1, Math.min(600, pageSize))))
  return page
}

/** A block of literals only. */
export function literals(content: Uint8Array): Uint8Array {
  const bytes: number[] = []
  putToken(bytes, content.length, 0)
  return Uint8Array.from([...bytes, ...content])
}

/** A block of literals and matches of any length and distance, `size` bytes in total. It may end with a match. */
export function randomSequences(chance: Chance, size: number): Uint8Array {
  const bytes: number[] = []
  let out = 0
  while (out < size) {
    const wanted = chance.oneIn(3) ? chance.integer(0, 300) : chance.integer(out === 0 ? 1 : 0, 20)
    const literal = Math.min(size - out, wanted)
    const room = size - out - literal
    const ends = room < 4 || (room < 40 && chance.oneIn(2))
    const match = ends ? 0 : chance.pick([4, 5, 18, 19, 20, 18 + 255, 19 + 255, room, chance.integer(4, room)])
    const matched = Math.min(match, room)
    const last = ends ? literal + room : literal
    putToken(bytes, last, ends ? 0 : matched - 4)
    for (let n = 0; n < last; n++) bytes.push(chance.integer(0, 255))
    out += last
    if (ends) break
    if (out === 0) return literals(somePage(chance, size))
    const offset = Math.min(out, 65535, chance.pick([1, 2, 3, 7, 8, 15, 16, 17, out, chance.integer(1, out)]))
    bytes.push(offset & 255, offset >> 8)
    if (matched - 4 >= 15) putLength(bytes, matched - 19)
    out += matched
  }
  return Uint8Array.from(bytes)
}

/** Changes a block. The result may still be valid. */
export function damagedBlock(chance: Chance, block: Uint8Array, pageSize: number): Uint8Array {
  const changed = block.slice()
  const size = block.length
  switch (chance.integer(0, 11)) {
    case 0: // the last token announces a match
      return literals(somePage(chance, pageSize)).map((byte, at) => (at === 0 ? byte | chance.integer(1, 15) : byte))
    case 1: // another size
      return randomSequences(chance, chance.pick([pageSize - 1, pageSize + 1, pageSize - 20, pageSize + 300, 1]))
    case 2: // an exact part of a page, as it is
      return literals(somePage(chance, pageSize).subarray(0, chance.integer(0, pageSize)))
    case 3:
      return changed.subarray(0, chance.integer(0, size))
    case 4:
      return Uint8Array.from([...changed, ...chance.bytes(chance.integer(1, 20))])
    case 5:
      return new Uint8Array(0)
    case 6: // a length that takes more bytes than there are, or than 32 bits
      return Uint8Array.from([0xf0, ...Array<number>(chance.integer(1, 400)).fill(255), ...changed])
    case 7: // an offset of zero, or from before the page, behind a few literals
      return Uint8Array.from([
        0x40,
        1,
        2,
        3,
        4,
        ...chance.pick([
          [0, 0],
          [5, 0],
          [255, 255],
        ]),
        ...changed,
      ])
    case 8: {
      // one sequence in, at any place
      const at = chance.integer(0, size)
      return Uint8Array.from([...changed.subarray(0, at), ...chance.bytes(4), ...changed.subarray(at)])
    }
    case 9:
      return chance.bytes(chance.integer(1, 40))
    default:
      for (let n = chance.integer(1, 3); n > 0 && size > 0; n--) {
        changed[chance.oneIn(2) ? chance.integer(0, Math.min(8, size - 1)) : chance.integer(0, size - 1)] =
          chance.integer(0, 255)
      }
      return changed
  }
}

/** `match`: its length less four. */
function putToken(bytes: number[], literal: number, match: number): void {
  bytes.push((Math.min(literal, 15) << 4) | Math.min(match, 15))
  if (literal >= 15) putLength(bytes, literal - 15)
}

function putLength(bytes: number[], length: number): void {
  for (; length >= 255; length -= 255) bytes.push(255)
  bytes.push(length)
}
