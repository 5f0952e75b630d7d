/** The fuzzer's files. The n-th file of a seed is always the same. */
import type { Chance } from './chance.ts'
import { mutate, splice } from './mutations.ts'
import { assemble, checksumOfPages, type FileParts, HEADER_AT, rightIndex, setIndex, viewOf } from './parts.ts'
import { validFile } from './valid-files.ts'

const VARIANTS_OF_ONE = 8

/** An endless sequence. Of eight files the first is valid, and the others are mutations of it. */
export function* mutants(chance: Chance): Generator<Uint8Array, never> {
  for (;;) {
    const valid = validFile(chance)
    const whole = assemble(valid)
    yield whole
    for (let n = 1; n < VARIANTS_OF_ONE; n++) {
      yield chance.oneIn(12) ? damagedWhole(chance, whole) : damagedParts(chance, valid)
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
