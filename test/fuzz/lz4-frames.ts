/** LZ4 frames, as in files of superfly/ltx up to 0.5.1: valid ones of many kinds, and invalid ones. */
import { xxh32 } from '../../src/ltx/format/xxhash.ts'
import { compressBlock } from '../../src/ltx/kernels/lz4-block.ts'
import type { Chance } from './chance.ts'
import { LenientFrames } from './lenient-lz4.ts'
import { damagedBlock, literals, randomSequences, somePage } from './lz4-blocks.ts'

export const FLAG = { independent: 0x20, blockChecksums: 0x10, contentSize: 0x08, contentChecksum: 0x04 } as const

interface Block {
  data: Uint8Array
  raw: boolean
  /** Instead of what it is. */
  sizeField?: number
  checksumDamage: number
}

export interface FrameSpec {
  /** Before the magic. */
  before: Uint8Array
  magic: number
  flags: number
  blockSizes: number
  contentSize: bigint
  headerDamage: number
  blocks: Block[]
  endMark: number
  checksumDamage: number
  /** Behind everything. */
  after: Uint8Array
}

export function validFrame(chance: Chance, pageSize: number): FrameSpec {
  const flags =
    0x40 |
    FLAG.contentChecksum |
    (chance.oneIn(4) ? 0 : FLAG.independent) |
    (chance.oneIn(4) ? FLAG.blockChecksums : 0) |
    (chance.oneIn(4) ? FLAG.contentSize : 0)
  return {
    ...plainFrame(validBlocks(chance, pageSize, (flags & FLAG.independent) === 0)),
    flags,
    blockSizes: chance.oneIn(10) ? chance.pick([0x50, 0x60]) : 0x40,
    contentSize: BigInt(pageSize),
  }
}

/** The frame that superfly/ltx wrote around a block. */
export function plainFrame(blocks: Block[]): FrameSpec {
  return {
    before: new Uint8Array(0),
    magic: 0x184d2204,
    flags: 0x40 | FLAG.independent | FLAG.contentChecksum,
    blockSizes: 0x40,
    contentSize: 0n,
    headerDamage: 0,
    blocks,
    endMark: 0,
    checksumDamage: 0,
    after: new Uint8Array(0),
  }
}

type Damage = (spec: FrameSpec, chance: Chance, pageSize: number) => void

const block = (spec: FrameSpec, chance: Chance) => chance.pick(spec.blocks)

/** Damage that makes a frame invalid, or valid only for some decoders. */
const DAMAGES: readonly Damage[] = [
  (spec, chance) => {
    spec.magic = chance.pick([0x184c2102, 0x184d2a50, 0x184d2aff, 0x184d2205, chance.u32()])
  },
  (spec, chance) => {
    spec.flags ^= 1 << chance.integer(0, 7)
  },
  (spec, chance) => {
    spec.blockSizes = chance.pick([0, 0x10, 0x30, 0x40, 0x4f, 0x70, 0xc0, chance.integer(0, 255)])
  },
  (spec, chance, pageSize) => {
    spec.flags |= FLAG.contentSize
    spec.contentSize = chance.bigint(BigInt(pageSize))
  },
  (spec, chance) => {
    spec.headerDamage = chance.integer(1, 255)
  },
  (spec, chance) => {
    spec.checksumDamage = chance.u32()
  },
  (spec, chance) => {
    block(spec, chance).checksumDamage = 1 << chance.integer(0, 30)
    spec.flags |= FLAG.blockChecksums
  },
  (spec, chance) => {
    block(spec, chance).sizeField = chance.pick([
      0,
      0x80000000,
      0x00010001,
      0x80010000,
      chance.number(block(spec, chance).data.length),
    ])
  },
  (spec, chance, pageSize) => {
    const changed = block(spec, chance)
    changed.data = damagedBlock(chance, changed.data, pageSize)
  },
  // Empty blocks.
  (spec, chance) => {
    spec.blocks.splice(chance.integer(0, spec.blocks.length), 0, ...emptyBlocks(chance))
  },
  (spec, chance) => {
    spec.blocks.splice(chance.integer(0, spec.blocks.length), 0, blockOf(literals(chance.bytes(chance.integer(1, 30)))))
  },
  (spec, chance, pageSize) => {
    spec.blocks.splice(chance.integer(0, spec.blocks.length - 1), 1)
    if (spec.blocks.length === 0) spec.blocks.push(blockOf(literals(somePage(chance, pageSize - 1))))
  },
  (spec, chance) => {
    spec.endMark = chance.pick([1, 4, 0x80000000, 0x80000004, chance.u32()])
  },
  (spec, chance) => {
    spec.before = chance.pick([skippable(chance, 0x184d2a50), skippable(chance, 0x184d2a00), chance.bytes(3)])
  },
  // The bytes after it look like another frame.
  (spec, chance) => {
    spec.after = chance.pick([
      magic(0x184d2204),
      magic(0x184c2102),
      magic(0x184d2a5f),
      chance.bytes(4),
      chance.bytes(1),
    ])
    if (chance.oneIn(2)) spec.flags &= ~FLAG.contentChecksum
  },
  // More blocks than a page needs.
  (spec, chance, pageSize) => {
    spec.blocks = pieces(chance, pageSize, chance.pick([63, 64, 65, 66, 200]))
  },
  // The first match reaches to before the page.
  (spec, chance, pageSize) => {
    spec.blocks = [blockOf(reachingBack(chance, pageSize))]
    spec.flags ^= chance.oneIn(2) ? FLAG.independent : 0
  },
  (spec) => {
    spec.flags &= ~FLAG.contentChecksum
  },
]

/** Applies one of these to the frame. */
export function damageFrame(chance: Chance, spec: FrameSpec, pageSize: number): void {
  chance.pick(DAMAGES)(spec, chance, pageSize)
}

/** `frames` reads it, so that its content checksum is right where blocks reach into the pages before. */
export function frameBytes(spec: FrameSpec, pageSize: number, frames = new LenientFrames()): Uint8Array {
  const descriptor = [spec.flags, spec.blockSizes]
  if ((spec.flags & FLAG.contentSize) !== 0) descriptor.push(...le64(spec.contentSize))
  const chunks: Uint8Array[] = [spec.before, magic(spec.magic), Uint8Array.from(descriptor)]
  chunks.push(Uint8Array.of(((xxh32(Uint8Array.from(descriptor)) >>> 8) & 255) ^ spec.headerDamage))
  for (const { data, raw, sizeField, checksumDamage } of spec.blocks) {
    chunks.push(magic(sizeField ?? (raw ? 0x80000000 : 0) + data.length), data)
    if ((spec.flags & FLAG.blockChecksums) !== 0) chunks.push(magic(xxh32(data) ^ checksumDamage))
  }
  chunks.push(magic(spec.endMark))
  const page = new Uint8Array(pageSize)
  frames.read(Buffer.concat(chunks), page)
  if ((spec.flags & FLAG.contentChecksum) !== 0) chunks.push(magic(xxh32(page) ^ spec.checksumDamage))
  return new Uint8Array(Buffer.concat([...chunks, spec.after]))
}

function validBlocks(chance: Chance, pageSize: number, linked: boolean): Block[] {
  if (!chance.oneIn(3)) {
    return [blockOf(chance.oneIn(4) ? randomSequences(chance, pageSize) : compressBlock(somePage(chance, pageSize)))]
  }
  const blocks = pieces(chance, pageSize, chance.integer(2, 5))
  const [first] = blocks
  if (!linked || first === undefined || !first.raw || first.data.length < 8) return blocks
  // The second block begins with a match of what is in the first.
  const rest = pageSize - first.data.length
  return rest < 9
    ? blocks
    : [first, blockOf(matchFirst(chance.integer(4, first.data.length), somePage(chance, rest - 5)))]
}

function pieces(chance: Chance, pageSize: number, count: number): Block[] {
  const page = somePage(chance, pageSize)
  const size = Math.max(1, Math.floor(pageSize / count))
  return Array.from({ length: count }, (_, n) => {
    const data = page.subarray(n * size, n === count - 1 ? pageSize : (n + 1) * size)
    return chance.oneIn(2) ? { data, raw: true, checksumDamage: 0 } : blockOf(literals(data))
  })
}

function emptyBlocks(chance: Chance): Block[] {
  const nothing = { data: new Uint8Array(0), raw: true, checksumDamage: 0 }
  const compressed = blockOf(Uint8Array.of(0))
  return Array.from({ length: chance.integer(1, 3) }, () => chance.pick([nothing, compressed]))
}

export function blockOf(data: Uint8Array): Block {
  return { data, raw: false, checksumDamage: 0 }
}

/** Five bytes from that far back, then literals. */
export function matchFirst(offset: number, rest: Uint8Array): Uint8Array {
  return Uint8Array.from([0x01, offset & 255, offset >> 8, ...literals(rest)])
}

function reachingBack(chance: Chance, pageSize: number): Uint8Array {
  return matchFirst(chance.integer(5, Math.min(65535, pageSize)), somePage(chance, pageSize - 5))
}

function skippable(chance: Chance, first: number): Uint8Array {
  const content = chance.bytes(chance.integer(0, 30))
  const size = chance.oneIn(4) ? chance.integer(0, 40) : content.length
  return Uint8Array.from([...magic(first + chance.integer(0, 15)), ...magic(size), ...content])
}

/** 32 bits, little-endian. */
function magic(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24)
}

function le64(value: bigint): number[] {
  return Array.from({ length: 8 }, (_, at) => Number((BigInt.asUintN(64, value) >> BigInt(8 * at)) & 255n))
}
