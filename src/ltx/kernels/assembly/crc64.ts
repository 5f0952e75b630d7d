/**
 * CRC-64/ISO without tables.
 *
 * The polynomial is x^64 + x^4 + x^3 + x + 1. Squaring is linear over GF(2), so modulo its eighth power
 *
 *     x^512 = x^32 + x^24 + x^8 + 1 = (x^8 + 1) * (x^24 + 1)
 *
 * and every exponent is a whole byte. So 64 bytes fold into the next 64 with nothing but byte shifts and XOR, which
 * vector units do best. In a reflected CRC a byte has a higher power than the one behind it, so multiplying by x^8
 * moves the bytes one address down. A register below is the CRC before its final inversion.
 */
import { DATA, PRODUCTS, RESULT } from './layout'

/** Multiplies by x^64, provided that only the top 60 bits of h are set (its degree is below 60). */
function fold(h: u64): u64 {
  return h ^ (h >> 1) ^ (h >> 3) ^ (h >> 4)
}

export function updateByte(register: u64, byte: u64): u64 {
  const r = register ^ byte
  return (r >> 8) ^ fold(r << 56)
}

export function updateWord(register: u64, word: u64): u64 {
  const r = register ^ word
  return fold(r) ^ fold((r << 63) ^ (r << 61) ^ (r << 60))
}

/** Bytes 1…16 of the 32 bytes in low and high. */
function by1(low: v128, high: v128): v128 {
  return v128.shuffle<u8>(low, high, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
}

/** Bytes 3…18 of the 32 bytes in low and high. */
function by3(low: v128, high: v128): v128 {
  return v128.shuffle<u8>(low, high, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
}

/**
 * The term that folding `a` adds to the last bytes of its own 64. The loop carries it in `d` one round early: it is
 * added before the first round and removed after the last.
 */
function spill(a: v128, ta: v128): v128 {
  const td = by1(v128.splat<u64>(0), a)
  return v128.xor(td, by3(td, ta))
}

function words(register: u64, lane: v128): u64 {
  return updateWord(updateWord(register, v128.extract_lane<u64>(lane, 0)), v128.extract_lane<u64>(lane, 1))
}

/** The register after `size` more bytes. */
export function update(register: u64, at: usize, size: i32): u64 {
  let rest = size
  let p = at
  let r = register
  if (rest >= 128) {
    let a = v128.xor(v128.load(p), v128.replace_lane<u64>(v128.splat<u64>(0), 0, r))
    let b = v128.load(p, 16)
    let c = v128.load(p, 32)
    let d = v128.load(p, 48)
    let ta = v128.xor(a, by1(a, b))
    d = v128.xor(d, spill(a, ta))
    p += 64
    rest -= 64
    do {
      const tb = v128.xor(b, by1(b, c))
      const tc = v128.xor(c, by1(c, d))
      a = v128.xor(v128.load(p), v128.xor(ta, by3(ta, tb)))
      b = v128.xor(v128.load(p, 16), v128.xor(tb, by3(tb, tc)))
      const td = v128.xor(d, by1(d, a))
      c = v128.xor(v128.load(p, 32), v128.xor(tc, by3(tc, td)))
      ta = v128.xor(a, by1(a, b))
      d = v128.xor(v128.load(p, 48), v128.xor(td, by3(td, ta)))
      p += 64
      rest -= 64
    } while (rest >= 64)
    r = words(words(words(words(0, a), b), c), v128.xor(d, spill(a, ta)))
  }
  for (; rest >= 8; rest -= 8, p += 8) r = updateWord(r, load<u64>(p))
  for (; rest > 0; rest--, p++) r = updateByte(r, load<u8>(p))
  return r
}

function multiply(a: u64, b: u64): u64 {
  let product: u64 = 0
  for (let bit = 0; bit < 64; bit++) {
    product = (product >> 1) ^ (0xd800000000000000 & (0 - (product & 1)))
    product ^= b & (0 - ((a >> bit) & 1))
  }
  return product
}

let powerOf: i32 = 0

/** PRODUCTS[i][v] = power times the register whose i-th four bits are v, and whose others are zero. */
function tabulate(power: u64): void {
  let product = power
  for (let bit: usize = 64; bit-- > 0; product = (product >> 1) ^ (0xd800000000000000 & (0 - (product & 1)))) {
    store<u64>(PRODUCTS + ((bit >> 2) << 7) + (8 << (bit & 3)), product)
  }
  for (let four = PRODUCTS; four < PRODUCTS + 2048; four += 128) {
    store<u64>(four, 0)
    for (let value: usize = 1; value < 16; value++) {
      const rest = value & (value - 1)
      if (rest > 0)
        store<u64>(four + (value << 3), load<u64>(four + (rest << 3)) ^ load<u64>(four + ((value ^ rest) << 3)))
    }
  }
}

/** The register after `size` bytes that are all zero; size is a power of two from 8 up. */
export function shift(register: u64, size: i32): u64 {
  if (size != powerOf) {
    powerOf = size
    let power = fold(1 << 63) // x^64: eight bytes
    for (let covered = 8; covered < size; covered <<= 1) power = multiply(power, power)
    tabulate(power)
  }
  let product: u64 = 0
  let bits = register
  for (let four = PRODUCTS; four < PRODUCTS + 2048; four += 256, bits >>= 8) {
    product ^=
      load<u64>(four + (((<usize>bits) & 15) << 3)) ^ load<u64>(four + 128 + ((((<usize>bits) >> 4) & 15) << 3))
  }
  return product
}

/** RESULT = the checksum of the page that is digested in DATA: CRC(be32(pgno) ‖ data), bit 63 set. */
export function pageChecksum(pgno: u32, pageSize: i32): void {
  const four = updatePgno(~0, pgno)
  store<u64>(RESULT, ~(shift(four, pageSize) ^ load<u64>(DATA)) | (1 << 63))
}

export function updatePgno(register: u64, pgno: u32): u64 {
  let r = updateByte(register, pgno >> 24)
  r = updateByte(r, (pgno >> 16) & 0xff)
  r = updateByte(r, (pgno >> 8) & 0xff)
  return updateByte(r, pgno & 0xff)
}
