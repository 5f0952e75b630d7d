/** Files for the fuzzer: a seed's n-th file is always the same. */
import { HEADER_SIZE } from '../../src/ltx/header.ts'
import type { Chance } from './chance.ts'
import { mutate, splice } from './mutations.ts'
import { assemble, checksumOfPages, HEADER_AT, rightIndex, setIndex, viewOf, type FileParts } from './parts.ts'
import { validFile } from './valid-files.ts'

const VARIANTS_OF_ONE = 8
/** The reference takes memory for a block as its size field demands, up to 4 GiB: now and then is enough. */
const LARGE = 4 * 1024 * 1024
const LARGE_ONE_IN = 5000

/** Endless. The first of eight files is valid, the others are made from it. */
export function* mutants(chance: Chance): Generator<Uint8Array, never> {
  for (;;) {
    const valid = validFile(chance)
    const whole = assemble(valid)
    yield whole
    for (let n = 1; n < VARIANTS_OF_ONE; n++) {
      yield tameSizes(chance, chance.oneIn(12) ? damagedWhole(chance, whole) : damagedParts(chance, valid))
    }
  }
}

function damagedParts(chance: Chance, valid: FileParts): Uint8Array {
  const parts = { ...valid, header: valid.header.slice(), pages: valid.pages.map((page) => ({ ...page })) }
  const touched = mutate(chance, parts)
  if (!touched.index && !chance.oneIn(12)) setIndex(parts, rightIndex(parts))
  const view = viewOf(parts.header)
  const checksums = (view.getUint32(HEADER_AT.flags) & 2) === 0
  const snapshot = view.getBigUint64(HEADER_AT.minTXID) === 1n
  if (checksums && snapshot && !touched.postApply && !chance.oneIn(12)) parts.postApply = checksumOfPages(parts)
  return assemble(parts)
}

/** Here nothing is put right afterwards. */
function damagedWhole(chance: Chance, whole: Uint8Array): Uint8Array {
  switch (chance.integer(0, 4)) {
    case 0:
    case 1:
      return whole.slice(0, chance.integer(0, whole.length - 1))
    case 2:
      return Uint8Array.from([...whole, ...chance.bytes(chance.integer(1, 20))])
    case 3: {
      // One part of it once more, elsewhere. Its end, or its header, is what makes this interesting.
      const at = chance.integer(0, whole.length)
      const from = chance.pick([0, 100, whole.length - 40, chance.integer(0, whole.length)])
      return Uint8Array.from([...whole.subarray(0, at), ...whole.subarray(Math.max(0, from))])
    }
    default:
      return splice(chance, whole)
  }
}

/** Follows blocks from the first page on. What comes of such a size is the same: the file ends before. */
function tameSizes(chance: Chance, file: Uint8Array): Uint8Array {
  const view = viewOf(file)
  for (
    let at = HEADER_SIZE;
    at + 10 <= file.length && view.getUint16(at + 4) === 1;
    at += 10 + view.getUint32(at + 6)
  ) {
    const size = view.getUint32(at + 6)
    if (size > LARGE && !chance.oneIn(LARGE_ONE_IN)) view.setUint32(at + 6, LARGE - (size & 0xffff))
  }
  return file
}
