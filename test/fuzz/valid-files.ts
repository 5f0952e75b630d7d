/** Valid files of every kind, in parts. */
import { type Header, marshalHeader, NO_CHECKSUM } from '../../src/ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, toTXID } from '../../src/ltx/format/types.ts'
import type { Chance } from './chance.ts'
import { LenientFrames } from './lenient-lz4.ts'
import { validBlock } from './lz4-blocks.ts'
import { frameBytes, validFrame } from './lz4-frames.ts'
import { checksumOfPages, type FileParts, type PagePart, rightIndex, setIndex } from './parts.ts'

/** Mostly small pages, which can have the same kinds of damage. */
const PAGE_SIZES = [...Array<number>(80).fill(512), 1024, 1024, 1024, 1024, 2048, 4096, 8192, 16384, 32768, 65536]

export function validFile(chance: Chance): FileParts {
  const pageSize = chance.pick(PAGE_SIZES)
  const checksums = !chance.oneIn(4)
  const snapshot = chance.oneIn(3)
  const few = pageSize > 4096 ? 2 : 6
  const lock = 0x40000000 / pageSize + 1
  const commit = snapshot
    ? chance.integer(checksums ? 0 : 1, few)
    : chance.pick([checksums ? 0 : 1, 1, chance.integer(1, 40), lock, lock + 3, 0xffffffff])
  const pgnos = snapshot ? upTo(commit) : somePages(chance, commit, lock, few)
  const encoding = chance.pick(['blocks', 'blocks', 'frames', 'both'] as const)
  const frames = new LenientFrames()
  const pages = pgnos.map((pgno): PagePart => {
    if (encoding === 'blocks' || (encoding === 'both' && chance.oneIn(2))) {
      const data = validBlock(chance, pageSize)
      return { pgno, flags: 1, size: data.length, data }
    }
    return { pgno, flags: 0, size: 0, data: frameBytes(validFrame(chance, pageSize), pageSize, frames) }
  })

  const parts: FileParts = {
    header: marshalHeader(someHeader(chance, { pageSize, commit, snapshot, checksums })),
    pages,
    end: new Uint8Array(6),
    index: new Uint8Array(0),
    indexSize: 0n,
    postApply: 0n,
    fileChecksumDamage: 0n,
    tail: new Uint8Array(0),
  }
  setIndex(parts, rightIndex(parts))
  if (!checksums) return parts
  if (commit === 0) parts.postApply = EMPTY_CHECKSUM
  else parts.postApply = snapshot ? checksumOfPages(parts) : chance.u64() | EMPTY_CHECKSUM
  return parts
}

function someHeader(
  chance: Chance,
  {
    pageSize,
    commit,
    snapshot,
    checksums,
  }: { pageSize: number; commit: number; snapshot: boolean; checksums: boolean },
): Header {
  const minTXID = snapshot ? 1n : chance.pick([2n, 3n, 1000n, 1n << 32n, (1n << 64n) - 2n])
  const more = chance.pick([0n, 0n, 1n, 300n])
  const maxTXID = minTXID + more < 1n << 64n ? minTXID + more : minTXID
  const wal = chance.oneIn(3)
  return {
    flags: checksums ? 0 : NO_CHECKSUM,
    pageSize,
    commit,
    minTXID: toTXID(minTXID),
    maxTXID: toTXID(maxTXID),
    timestampMs: chance.pick([0, 1_700_000_000_000, -1, Number.MAX_SAFE_INTEGER, chance.u32()]),
    preApplyChecksum: snapshot || !checksums ? 0n : ((chance.u64() | EMPTY_CHECKSUM) as Checksum),
    walOffset: wal ? chance.pick([32, 1, 2 ** 40, Number.MAX_SAFE_INTEGER]) : 0,
    walSize: wal ? chance.pick([0, 4152, Number.MAX_SAFE_INTEGER]) : 0,
    walSalt1: wal ? chance.u32() : 0,
    walSalt2: wal ? chance.pick([0, 1, chance.u32()]) : 0,
    nodeId: chance.oneIn(3) ? chance.u64() : 0n,
  }
}

function upTo(commit: number): number[] {
  return Array.from({ length: commit }, (_, at) => at + 1)
}

function somePages(chance: Chance, commit: number, lock: number, few: number): number[] {
  const near = [1, 2, commit, commit - 1, lock - 1, lock + 1, lock + 2]
  const count = chance.integer(0, few)
  const chosen = Array.from({ length: count }, () => (chance.oneIn(2) ? chance.pick(near) : chance.integer(1, commit)))
  const possible = chosen.filter((pgno) => pgno >= 1 && pgno <= commit && pgno !== lock)
  return [...new Set(possible)].sort((a, b) => a - b)
}
