/**
 * LZ4 blocks between PAGE and BLOCK. Source of the format: lz4_Block_format.md of lz4/lz4.
 * A block is a row of sequences: token, literals, 16-bit offset, match. The last one has literals only.
 */
import { BLOCK, MAX_TABLE_LOG, PAGE, TABLE } from './layout'

const MIN_MATCH: i32 = 4
/** The last five bytes are literals. */
const LAST_LITERALS: i32 = 5
/** The last match starts at least twelve bytes before the end. */
const MATCH_MARGIN: i32 = 12
/** The compressor tries two of three positions: a tenth faster than all three, and output larger by one percent. */
const STEP: usize = 3
/** After 2^3 steps without a match they become longer by one, and so on. */
const SKIP_SHIFT: i32 = 3
/** Tokens have four bits for a length. This value means that more bytes of it follow. */
const LONG: i32 = 15

/** Where the table has the last position that began with the five bytes of `word`. */
function slot(word: u64, shift: u64): usize {
  return TABLE + ((<usize>(((word << 24) * 889523592379) >> shift)) << 1)
}

/** Copies at least `size` bytes, in steps of 16. */
function copy16(to: usize, from: usize, size: i32): void {
  const end = to + size
  do {
    v128.store(to, v128.load(from))
    to += 16
    from += 16
  } while (to < end)
}

/** Copies at least `size` bytes, in steps of 32. */
function copy32(to: usize, from: usize, size: i32): void {
  const end = to + size
  do {
    v128.store(to, v128.load(from))
    v128.store(to, v128.load(from, 16), 16)
    to += 32
    from += 32
  } while (to < end)
}

/** How many bytes from `a` on equal those from `b` on; `a` stops at `limit`. */
function matching(a: usize, b: usize, limit: usize): i32 {
  const start = a
  while (a + 8 <= limit) {
    const difference = load<u64>(a) ^ load<u64>(b)
    if (difference != 0) return <i32>(a - start + ((<usize>ctz(difference)) >> 3))
    a += 8
    b += 8
  }
  while (a < limit && load<u8>(a) == load<u8>(b)) {
    a++
    b++
  }
  return <i32>(a - start)
}

/** Writes the part of a length that does not fit into the token. */
function storeLength(op: usize, length: i32): usize {
  while (length >= 255) {
    store<u8>(op++, 255)
    length -= 255
  }
  store<u8>(op++, length)
  return op
}

/** Writes token, literal length and literals of a sequence. Returns the address behind them. */
function storeLiterals(op: usize, from: usize, literals: i32, match: i32): usize {
  const low = match < LONG ? match : LONG
  if (literals < LONG) {
    store<u8>(op, (literals << 4) | low)
    v128.store(op + 1, v128.load(from))
    return op + 1 + literals
  }
  store<u8>(op++, 0xf0 | low)
  op = storeLength(op, literals - LONG)
  copy16(op, from, literals)
  return op + literals
}

/** PAGE → BLOCK; returns the block's size, at most size + size/255 + 16. */
export function compress(size: i32): i32 {
  const end = PAGE + size
  let anchor = PAGE
  let op = BLOCK
  if (size > MATCH_MARGIN) {
    const log = size > 2048 ? MAX_TABLE_LOG : MAX_TABLE_LOG - 2
    const shift: u64 = 64 - log
    memory.fill(TABLE, 0, 2 << log)
    const lastStart = end - MATCH_MARGIN
    const lastMatched = end - LAST_LITERALS
    let ip = PAGE + 1
    let misses = 0
    while (ip < lastStart) {
      const word = load<u64>(ip)
      const first = slot(word, shift)
      const second = slot(word >> 8, shift)
      let candidate = PAGE + load<u16>(first)
      const other = PAGE + load<u16>(second)
      store<u16>(first, <u16>(ip - PAGE))
      store<u16>(second, <u16>(ip + 1 - PAGE))
      if (load<u32>(candidate) != <u32>word) {
        if (load<u32>(other) != <u32>(word >> 8)) {
          ip += STEP + (misses++ >> SKIP_SHIFT)
          continue
        }
        ip++
        candidate = other
      }
      const room = min(ip - anchor, candidate - PAGE)
      if (room > 0) {
        const back = min(room, (<usize>clz(load<u64>(ip - 8) ^ load<u64>(candidate - 8))) >> 3)
        ip -= back
        candidate -= back
      }
      const literals = <i32>(ip - anchor)
      const match = matching(ip + MIN_MATCH, candidate + MIN_MATCH, lastMatched)
      if (literals < LONG && match < LONG) {
        store<u8>(op, (literals << 4) | match)
        v128.store(op + 1, v128.load(anchor))
        op += literals + 1
      } else {
        op = storeLiterals(op, anchor, literals, match)
      }
      store<u16>(op, <u16>(ip - candidate))
      op += 2
      if (match >= LONG) op = storeLength(op, match - LONG)
      ip += MIN_MATCH + match
      anchor = ip
      misses = 0
      if (ip < lastStart) store<u16>(slot(load<u64>(ip - 2), shift), <u16>(ip - 2 - PAGE))
    }
  }
  op = storeLiterals(op, anchor, <i32>(end - anchor), 0)
  return <i32>(op - BLOCK)
}

/** Repeats the `offset` bytes before `op`; a distance below 16 is first widened to a multiple of itself. */
function copyMatch(op: usize, offset: i32, length: i32): void {
  let distance = offset
  if (offset < 16) {
    distance *= (15 + offset) / offset
    let bytewise = min(length, distance - offset)
    length -= bytewise
    for (; bytewise > 0; bytewise--, op++) store<u8>(op, load<u8>(op - offset))
    if (length == 0) return
  }
  copy16(op, op - distance, length)
}

/**
 * The `size` bytes at `from` → PAGE[at … limit). Matches reach back to PAGE[base].
 * Returns how many bytes came out, or -1 for a block that is not valid: nothing but PAGE and the slack behind it is
 * written, and no more than the slack behind the block is read, even if the block is invalid.
 */
export function decompress(from: usize, size: i32, at: i32, limit: i32, base: i32): i32 {
  const inputEnd = from + size
  const outputEnd = PAGE + limit
  const window = PAGE + base
  // Up to here, a sequence with short lengths can be copied without bounds checks: it reads 14 literals and an offset,
  // and writes 14 literals and a match of 18 bytes, in copies of 16.
  const nearInputEnd = inputEnd - 16
  const nearOutputEnd = outputEnd - 32
  let ip = from
  let op = PAGE + at
  while (ip < inputEnd) {
    const token = <i32>load<u8>(ip++)
    let literals = token >> 4
    if (literals < LONG && ip <= nearInputEnd && op <= nearOutputEnd) {
      v128.store(op, v128.load(ip))
      ip += literals
      op += literals
    } else {
      if (literals == LONG) {
        let more: i32
        do {
          if (ip >= inputEnd) return -1
          more = load<u8>(ip++)
          literals += more
        } while (more == 255)
      }
      if (literals > <i32>(inputEnd - ip) || literals > <i32>(outputEnd - op)) return -1
      if (literals > 0) {
        if (literals <= <i32>(outputEnd - op) - 32) copy32(op, ip, literals)
        else copy16(op, ip, literals)
      }
      ip += literals
      op += literals
      // A token that announces a match, with nothing behind its literals.
      if (ip == inputEnd) return (token & 15) == 0 ? <i32>(op - PAGE) - at : -1
      if (inputEnd - ip < 2) return -1
    }
    const offset = <i32>load<u16>(ip)
    ip += 2
    if (offset == 0 || offset > <i32>(op - window)) return -1
    let match = token & 15
    if (match < LONG && offset >= 16 && op <= outputEnd - 18) {
      const source = op - offset
      v128.store(op, v128.load(source))
      store<u16>(op, load<u16>(source, 16), 16)
      op += match + MIN_MATCH
      continue
    }
    if (match == LONG) {
      let more: i32
      do {
        if (ip >= inputEnd) return -1
        more = load<u8>(ip++)
        match += more
      } while (more == 255)
    }
    match += MIN_MATCH
    if (match > <i32>(outputEnd - op)) return -1
    if (offset >= 32 && match <= <i32>(outputEnd - op) - 32) copy32(op, op - offset, match)
    else copyMatch(op, offset, match)
    op += match
  }
  // The format has literals last; superfly/ltx reads a block that ends with a match all the same.
  return size > 0 ? <i32>(op - PAGE) - at : -1
}
