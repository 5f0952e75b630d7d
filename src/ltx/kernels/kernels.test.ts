import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { compressSync, uncompressSync } from 'lz4-napi'
import { describe, expect, test } from 'vitest'
import { arbitraryPage, PAGE_SIZES } from '../testing.ts'
import { buildKernels } from './build.ts'
import { CRCRegister } from './crc.ts'
import { ChecksumFold, Digest, digestChecksum, digestPage } from './digest.ts'
import { blockBound, compressBlock, decompressInto } from './lz4-block.ts'
import { stagedPage } from './staging.ts'

test('module.ts is the compiled assembly/', async () => {
  const checkedIn = await readFile(new URL('./module.ts', import.meta.url), 'utf8')
  expect(await buildKernels()).toBe(checkedIn)
}, 60_000)

describe('CRC-64', () => {
  /** Bit by bit, from the definition. */
  const TABLE = BigUint64Array.from({ length: 256 }, (_, byte) => {
    let crc = BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ 0xd800000000000000n : crc >> 1n
    return crc
  })
  const MASK = (1n << 64n) - 1n
  const FLAG = 1n << 63n

  function reference(...parts: Uint8Array[]): bigint {
    let crc = MASK
    for (const part of parts) for (const byte of part) crc = TABLE[Number((crc ^ BigInt(byte)) & 255n)]! ^ (crc >> 8n)
    return (crc ^ MASK) | FLAG
  }

  const be32 = (value: number) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)

  test('equals the definition for every length up to 600', () => {
    const bytes = Uint8Array.from({ length: 600 }, (_, i) => (i * 197 + (i >> 3)) & 0xff)
    for (let size = 0; size <= bytes.length; size++) {
      const register = new CRCRegister()
      register.update(bytes.subarray(0, size))
      expect(register.checksum(), `${size} bytes`).toBe(reference(bytes.subarray(0, size)))
    }
  })

  test('does not depend on how the bytes are split', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 6 }), (parts) => {
        const register = new CRCRegister()
        for (const part of parts) register.update(part)
        expect(register.checksum()).toBe(reference(...parts))
      }),
    )
  })

  test('accepts more bytes than the staging area holds', () => {
    const bytes = Uint8Array.from({ length: 150_001 }, (_, i) => (i * 31) & 0xff)
    const register = new CRCRegister()
    register.update(bytes)
    expect(register.checksum()).toBe(reference(bytes))
  })

  test('of a page and of its frame needs one pass over the page', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...PAGE_SIZES.slice(0, 4)).chain((size) => arbitraryPage(size)),
        fc.integer({ min: 1, max: 0xffffffff }),
        fc.uint8Array({ maxLength: 50 }),
        (page, pgno, before) => {
          const register = new CRCRegister()
          register.update(before)
          const blockSize = register.encode(pgno, page)
          const digest = new Digest()
          digest.save()
          const expected = reference(before, be32(pgno), Uint8Array.of(0, 1), be32(blockSize), page)
          expect(register.checksum()).toBe(expected)

          digestPage(new Uint8Array(512))
          digest.load()
          expect(digestChecksum(pgno, page.length)).toBe(reference(be32(pgno), page))

          const copied = new CRCRegister()
          copied.update(before)
          copied.updateFrame(pgno, blockSize, page.length, digest)
          expect(copied.checksum()).toBe(expected)

          const bare = new CRCRegister()
          bare.update(before)
          digestPage(page)
          bare.updatePage(pgno, page.length)
          expect(bare.checksum()).toBe(reference(before, be32(pgno), Uint8Array.of(0, 0), page))

          const fold = new ChecksumFold()
          fold.add(pgno, page.length)
          expect(fold.checksum()).toBe(reference(be32(pgno), page))
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('LZ4 blocks', () => {
  const anyPage = () => fc.constantFrom(...PAGE_SIZES).chain((size) => arbitraryPage(size))
  const oursDecompresses = (block: Uint8Array, size: number) => {
    expect(decompressInto(block, 0, size, 0)).toBe(size)
    return stagedPage(size).slice()
  }
  /** lz4-napi puts the size before the block. */
  const sizeOf = (size: number) => Uint8Array.of(size, size >>> 8, size >>> 16, size >>> 24)
  const theirsDecompresses = (block: Uint8Array, size: number) =>
    new Uint8Array(uncompressSync(Buffer.concat([sizeOf(size), block])))

  test('of ltxd are decompressed by another implementation and by ltxd', () => {
    fc.assert(
      fc.property(anyPage(), (page) => {
        const block = compressBlock(page)
        expect(block.length).toBeLessThanOrEqual(blockBound(page.length))
        expect(Buffer.compare(theirsDecompresses(block, page.length), page)).toBe(0)
        expect(Buffer.compare(oursDecompresses(block, page.length), page)).toBe(0)
      }),
      { numRuns: 150 },
    )
  })

  test('of another implementation are decompressed by ltxd', () => {
    fc.assert(
      fc.property(anyPage(), (page) => {
        const block = new Uint8Array(compressSync(Buffer.from(page))).slice(4)
        expect(Buffer.compare(oursDecompresses(block, page.length), page)).toBe(0)
      }),
      { numRuns: 150 },
    )
  })

  test('end as the format requires: five literals at least, no match within the last twelve bytes', () => {
    fc.assert(
      fc.property(anyPage(), (page) => {
        const { lastMatchStart, lastLiterals, matches } = endOf(compressBlock(page))
        if (matches === 0) return
        expect(lastMatchStart).toBeLessThanOrEqual(page.length - 12)
        expect(lastLiterals).toBeGreaterThanOrEqual(5)
      }),
      { numRuns: 100 },
    )
  })

  test('compress compressible pages', () => {
    expect(compressBlock(new Uint8Array(4096)).length).toBeLessThan(32)
    const text = Buffer.alloc(4096, 'insert into t values (1, 2, 3);')
    expect(compressBlock(text).length).toBeLessThan(80)
  })

  test('that are not valid are rejected, and write nothing beyond the page', () => {
    const size = 512
    fc.assert(
      fc.property(
        arbitraryPage(size),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
        fc.nat(),
        fc.boolean(),
        (page, changes, cut, cutting) => {
          let block = compressBlock(page)
          for (const [at, byte] of changes) block[at % block.length] = byte
          if (cutting) block = block.subarray(0, cut % (block.length + 1))
          // Copies may run over by up to 15 bytes; nothing behind those may change.
          const behind = stagedPage(size + 1024).subarray(size + 16)
          behind.fill(0xa5)
          const result = decompressInto(block, 0, size, 0)
          expect(behind.every((byte) => byte === 0xa5)).toBe(true)
          expect(result).toBeLessThanOrEqual(size)
          if (result === size && endsWithLiterals(block)) {
            expect(Buffer.compare(theirsDecompresses(block, size), stagedPage(size))).toBe(0)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('of random bytes are rejected, or decompress to a page at most', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: blockBound(512) }), (block) => {
        const result = decompressInto(block, 0, 512, 0)
        expect(result).toBeGreaterThanOrEqual(-1)
        expect(result).toBeLessThanOrEqual(512)
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['nothing', []],
    ['a length that does not end', [0xf0, 255, 255]],
    ['literals beyond the block', [0x50, 1, 2, 3]],
    ['a match without offset', [0x10, 7, 1]],
    ['an offset of zero', [0x10, 7, 0, 0, 0]],
    ['an offset before the page', [0x10, 7, 2, 0, 0]],
    ['a match that is announced and missing', [0x53, 1, 2, 3, 4, 5]],
    ['more than a page', [0x1f, 7, 1, 0, 255, 255, 255, 0, 0]],
    ['lengths beyond 32 bits', [0xf0, ...Array<number>(65_000).fill(255), 0]],
  ])('with %s are rejected', (_, block) => {
    expect(decompressInto(Uint8Array.from(block), 0, 512, 0)).toBe(-1)
  })

  test('are rejected if and only if a sequence ends beyond the page, wherever it begins', () => {
    for (let before = 470; before <= 512; before++) {
      for (let literals = 0; literals <= 14; literals++) {
        for (let match = 4; match <= 18; match++) {
          // One literal, repeated; then the sequence, with enough behind it for any short cut.
          const run = [0x1f, 7, 1, 0, 255, before - 1 - 4 - 15 - 255]
          const sequence = [(literals << 4) | (match - 4), ...Array<number>(literals).fill(9), 16, 0]
          const end = before + literals + match
          const rest = Math.max(0, 512 - end)
          const tail = rest < 15 ? [rest << 4] : [0xf0, rest - 15]
          const block = Uint8Array.from([...run, ...sequence, ...tail, ...Array<number>(rest).fill(5)])
          const place = `${before} bytes, ${literals} literals, a match of ${match}`
          expect(decompressInto(block, 0, 512, 0), place).toBe(end <= 512 ? 512 : -1)
          const cut = Uint8Array.from([...run, ...sequence])
          expect(decompressInto(cut, 0, 512, 0), `${place}, at the end`).toBe(end <= 512 ? end : -1)
        }
      }
    }
  })

  test('find matches behind a long stretch without any', () => {
    const page = new Uint8Array(65536)
    for (let at = 0, state = 1; at < 32768; at++) {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9
      page[at] = state >>> 24
    }
    for (let at = 32768; at < page.length; at++) page[at] = 'a sentence that is repeated, '.charCodeAt(at % 29)
    expect(compressBlock(page).length).toBeLessThan(32768 + 1024)
  })

  test('that end with a match are accepted, as in superfly/ltx', () => {
    expect(decompressInto(Uint8Array.of(0x11, 7, 1, 0), 0, 512, 0)).toBe(6)
    expect(stagedPage(6)).toEqual(new Uint8Array(6).fill(7))
  })
})

/** The other implementation rejects a block that ends with a match. */
function endsWithLiterals(block: Uint8Array): boolean {
  try {
    return endOf(block).lastLiterals >= 0
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

/** Walks a valid block's sequences. */
function endOf(block: Uint8Array) {
  let at = 0
  let out = 0
  let lastMatchStart = 0
  let matches = 0
  const length = (nibble: number) => {
    let sum = nibble
    if (nibble === 15) for (let more = 255; more === 255; sum += more) more = block[at++]!
    return sum
  }
  for (;;) {
    if (at >= block.length) throw new RangeError('the block ends with a match')
    const token = block[at++]!
    const literals = length(token >> 4)
    at += literals
    out += literals
    if (at === block.length) return { lastMatchStart, lastLiterals: literals, matches }
    at += 2
    lastMatchStart = out
    matches++
    out += length(token & 15) + 4
  }
}
