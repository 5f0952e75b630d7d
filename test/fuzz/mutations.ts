/** Mutations of a file. Each changes one thing. Dependent fields, such as checksums, are then corrected, or not. */
import type { Chance } from './chance.ts'
import { LenientFrames } from './lenient-lz4.ts'
import { damagedBlock, validBlock } from './lz4-blocks.ts'
import { damageFrame, frameBytes, validFrame } from './lz4-frames.ts'
import { type FileParts, HEADER_AT, pageSizeOf, putVarint, rightIndex, setIndex, viewOf } from './parts.ts'

type Mutation = (chance: Chance, parts: FileParts) => void

/** The offsets and lengths of the header's fields. */
const U32_FIELDS = [0, 4, 8, 12, 64, 68] as const
const U64_FIELDS = [16, 24, 32, 40, 48, 56, 72] as const

const header: Mutation = (chance, { header }) => {
  const view = viewOf(header)
  const kind = chance.integer(0, 5)
  if (kind <= 1) {
    const at = chance.pick(U32_FIELDS)
    view.setUint32(at, chance.number(view.getUint32(at)))
  } else if (kind <= 3) {
    const at = chance.pick(U64_FIELDS)
    view.setBigUint64(at, chance.bigint(view.getBigUint64(at)))
  } else if (kind === 4) {
    const bit = chance.integer(0, 799)
    header[bit >> 3]! ^= 1 << (bit & 7)
  } else if (chance.oneIn(2)) {
    view.setUint32(HEADER_AT.flags, chance.pick([0, 1, 2, 3, 4, 0x80000002]))
  } else {
    view.setUint32(HEADER_AT.pageSize, chance.pick([0, 256, 511, 513, 1024, 65536, 131072]))
  }
}

/** Consistent changes of the header: another commit size, and TXIDs that make or unmake a snapshot. */
const meaning: Mutation = (chance, { header, pages }) => {
  const view = viewOf(header)
  const last = pages.at(-1)?.pgno ?? 0
  if (chance.oneIn(2)) view.setUint32(HEADER_AT.commit, chance.pick([0, last - 1, last, last + 1, last + 2]) >>> 0)
  else view.setBigUint64(HEADER_AT.minTXID, chance.pick([0n, 1n, 2n, view.getBigUint64(HEADER_AT.maxTXID)]))
  if (chance.oneIn(3)) view.setBigUint64(40, chance.pick([0n, 1n << 63n, 1n]))
  if (chance.oneIn(3)) view.setUint32(HEADER_AT.flags, view.getUint32(HEADER_AT.flags) ^ 2)
}

const pageNumber: Mutation = (chance, parts) => {
  if (parts.pages.length === 0) return
  const page = chance.pick(parts.pages)
  const commit = viewOf(parts.header).getUint32(HEADER_AT.commit)
  const lock = 0x40000000 / pageSizeOf(parts) + 1
  page.pgno = chance.pick([0, page.pgno - 1, page.pgno + 1, commit, commit + 1, lock, 0xffffffff, chance.u32()]) >>> 0
}

const pageFlags: Mutation = (chance, { pages }) => {
  if (pages.length > 0) chance.pick(pages).flags = chance.pick([0, 1, 2, 3, 0x100, 0x8001, chance.integer(0, 0xffff)])
}

const pageOrder: Mutation = (chance, { pages }) => {
  if (pages.length === 0) return
  const at = chance.integer(0, pages.length - 1)
  const other = chance.integer(0, pages.length - 1)
  const page = { ...pages[at]! }
  const kind = chance.integer(0, 3)
  if (kind === 0) pages.splice(at, 1)
  if (kind === 1) pages.splice(other, 0, page)
  if (kind === 2) [pages[at], pages[other]] = [pages[other]!, pages[at]!]
  if (kind === 3) pages.push({ ...page, pgno: (pages.at(-1).pgno + chance.integer(0, 2)) >>> 0 })
}

const lockPage: Mutation = (chance, parts) => {
  const pageSize = pageSizeOf(parts)
  const lock = 0x40000000 / pageSize + 1
  const view = viewOf(parts.header)
  if (view.getUint32(HEADER_AT.commit) < lock) view.setUint32(HEADER_AT.commit, lock + chance.integer(-1, 2))
  const data = validBlock(chance, pageSize)
  const page = { pgno: lock, flags: 1, size: data.length, data }
  parts.pages = [...parts.pages.filter(({ pgno }) => pgno !== lock), page].sort((a, b) => a.pgno - b.pgno)
}

const size: Mutation = (chance, { pages }) => {
  if (pages.length === 0) return
  const page = chance.pick(pages)
  page.size = chance.oneIn(2) ? (page.size + chance.integer(-3, 3)) >>> 0 : chance.number(page.data.length)
}

const block: Mutation = (chance, parts) => {
  if (parts.pages.length === 0) return
  const page = chance.pick(parts.pages)
  page.data = damagedBlock(chance, page.data, pageSizeOf(parts))
  if (!chance.oneIn(10)) page.size = page.data.length
}

const frame: Mutation = (chance, parts) => {
  if (parts.pages.length === 0) return
  const at = chance.integer(0, parts.pages.length - 1)
  const pageSize = pageSizeOf(parts)
  const before = new LenientFrames()
  for (const page of parts.pages.slice(0, at)) {
    if ((page.flags & 1) === 0) before.read(page.data, new Uint8Array(pageSize))
  }
  const spec = validFrame(chance, pageSize)
  for (let times = chance.oneIn(4) ? 2 : 1; times > 0; times--) damageFrame(chance, spec, pageSize)
  const data = frameBytes(spec, pageSize, before)
  parts.pages[at] = { ...parts.pages[at]!, flags: 0, data: chance.oneIn(8) ? twice(chance, data, pageSize) : data }
}

/** A page in several consecutive frames. */
function twice(chance: Chance, data: Uint8Array, pageSize: number): Uint8Array {
  const halfSize = Math.floor(pageSize / 2)
  const half = frameBytes(validFrame(chance, halfSize), halfSize)
  return new Uint8Array(
    Buffer.concat(
      chance.pick([
        [half, half],
        [data, half],
        [half, data],
      ]),
    ),
  )
}

const index: Mutation = (chance, parts) => {
  const entries = rightIndex(parts)
  const some = entries.length === 0 ? undefined : chance.pick(entries)
  const at = chance.integer(0, entries.length)
  switch (chance.integer(0, 8)) {
    case 0:
      entries.splice(at, 1)
      break
    case 1:
      entries.splice(at, 0, { pgno: BigInt(chance.integer(1, 20)), offset: 100n, size: 20n })
      break
    case 2:
      entries.reverse()
      break
    case 3:
      if (some) some.pgno = chance.bigint(some.pgno)
      break
    case 4:
      if (some) some.offset = chance.oneIn(2) ? some.offset + BigInt(chance.integer(-2, 2)) : chance.bigint(some.offset)
      break
    case 5:
      if (some) some.size = chance.oneIn(2) ? some.size + BigInt(chance.integer(-9, 9)) : chance.bigint(some.size)
      break
    case 6: // gaps everywhere, or all frames said to be tiny
      entries.forEach((entry, n) => (entry.offset += BigInt(3 * n)))
      break
    case 7:
      entries.forEach((entry) => (entry.size = BigInt(chance.integer(5, 9))))
      break
    default:
      parts.index = overlong(chance, parts)
      parts.indexSize = BigInt(parts.index.length)
      return
  }
  const [size, negative] = [parts.indexSize, entries.some(({ offset, size }) => offset < 0n || size < 0n)]
  if (!negative) setIndex(parts, entries)
  if (chance.oneIn(10)) parts.indexSize = size
}

/** The right entries, some encoded in more bytes than necessary, or than any number may have. */
function overlong(chance: Chance, parts: FileParts): Uint8Array {
  const bytes: number[] = []
  for (const { pgno, offset, size } of rightIndex(parts)) {
    for (const value of [pgno, offset, size]) {
      putVarint(bytes, chance.oneIn(8) ? value + (1n << BigInt(chance.integer(52, 70))) : value, padding(chance))
    }
  }
  putVarint(bytes, 0n, padding(chance))
  return Uint8Array.from(bytes)
}

function padding(chance: Chance): number {
  return chance.oneIn(3) ? chance.pick([1, 2, 7, 8, 9, 10, 11]) : 0
}

const indexBytes: Mutation = (chance, parts) => {
  parts.index = splice(chance, parts.index)
  if (!chance.oneIn(4)) parts.indexSize = BigInt(parts.index.length)
}

const indexSize: Mutation = (chance, parts) => {
  parts.indexSize = chance.bigint(parts.indexSize)
}

const endOfPages: Mutation = (chance, parts) => {
  parts.end = chance.pick([
    new Uint8Array(0),
    new Uint8Array(5),
    new Uint8Array(12),
    Uint8Array.of(0, 0, 0, 0, 0, 1),
    Uint8Array.of(0, 0, 0, 0, 0, 2),
  ])
}

const trailer: Mutation = (chance, parts) => {
  if (chance.oneIn(4)) parts.fileChecksumDamage = chance.pick([1n << 63n, 1n, chance.u64()])
  else parts.postApply = chance.bigint(parts.postApply)
}

const tail: Mutation = (chance, parts) => {
  parts.tail = chance.bytes(chance.pick([1, 1, 2, 100, 5000]))
}

const bytes: Mutation = (chance, parts) => {
  if (chance.oneIn(4) || parts.pages.length === 0) {
    const bit = chance.integer(0, 799)
    parts.header[bit >> 3]! ^= 1 << (bit & 7)
    return
  }
  const page = chance.pick(parts.pages)
  page.data = splice(chance, page.data)
  if (!chance.oneIn(4)) page.size = page.data.length
}

/** Removes, changes or inserts some bytes. */
export function splice(chance: Chance, bytes: Uint8Array): Uint8Array {
  const at = chance.integer(0, bytes.length)
  const out = chance.pick([0, 1, 1, 2, 8])
  const inserted = chance.oneIn(3) ? new Uint8Array(0) : chance.bytes(out === 0 ? chance.integer(1, 8) : out)
  return Uint8Array.from([...bytes.subarray(0, at), ...inserted, ...bytes.subarray(at + out)])
}

/** The mutations with their weights. */
const WEIGHTED: readonly (readonly [number, Mutation])[] = [
  [8, header],
  [4, meaning],
  [5, pageNumber],
  [2, pageFlags],
  [4, pageOrder],
  [1, lockPage],
  [3, size],
  [14, block],
  [18, frame],
  [9, index],
  [4, indexBytes],
  [2, indexSize],
  [2, endOfPages],
  [4, trailer],
  [1, tail],
  [6, bytes],
]
const MUTATIONS = WEIGHTED.flatMap(([times, mutation]) => Array<Mutation>(times).fill(mutation))
/** Mutations after which the index must stay as it is, right or wrong. */
const OF_INDEX = new Set<Mutation>([index, indexBytes, indexSize])

/** Mutates the file, perhaps several times. Returns whether index and post-apply checksum must stay as they are. */
export function mutate(chance: Chance, parts: FileParts): { index: boolean; postApply: boolean } {
  const touched = { index: false, postApply: false }
  for (let times = chance.pick([1, 1, 1, 1, 2, 2, 3]); times > 0; times--) {
    const mutation = chance.pick(MUTATIONS)
    mutation(chance, parts)
    touched.index ||= OF_INDEX.has(mutation)
    touched.postApply ||= mutation === trailer
  }
  return touched
}
