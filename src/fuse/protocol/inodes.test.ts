import { describe, expect, it } from 'vitest'
import { GENERATIONS, narrowInodes, wideInodes } from './inodes.ts'

const BACKING = [1, 2, 3, 4711, 2 ** 31, 2 ** 32 - 1]

describe.each([
  ['wide', wideInodes],
  ['narrow', narrowInodes],
])('%s inode numbers', (_, inodes) => {
  it('are another number for the same file in each generation', () => {
    for (const backing of BACKING) {
      const shown = [0, 1, 2, 4095, 4096, GENERATIONS - 1].map((generation) => inodes(generation).shown(backing))
      expect(new Set(shown).size).toBe(shown.length)
    }
  })

  it('are another number for each file of a generation, exact in JavaScript, and never zero', () => {
    for (const generation of [0, 1, GENERATIONS - 1]) {
      const numbers = inodes(generation)
      const shown = BACKING.map((backing) => numbers.shown(backing))
      expect(new Set(shown).size).toBe(shown.length)
      expect(shown.map((number) => numbers.backing(number))).toEqual(BACKING)
      for (const number of shown) expect(Number.isSafeInteger(number) && number > 0).toBe(true)
    }
  })
})

it('narrow inode numbers are never equal for two files, however wide their own are', () => {
  const inodes = narrowInodes(7)
  const backing = [5, 2 ** 32 + 4, 2 ** 33 + 7, 2 ** 34 + 1, 4, 6]
  const shown = backing.map((number) => inodes.shown(number))
  expect(new Set(shown).size).toBe(backing.length)
  expect(backing.map((number) => inodes.shown(number))).toEqual(shown)
  expect(shown.map((number) => inodes.backing(number))).toEqual(backing)
})

it('wide inode numbers are exact for special files, too, and none is that of a backing file', () => {
  const special = 2 ** 52 + 1
  for (const generation of [0, 1, GENERATIONS - 1]) {
    const inodes = wideInodes(generation)
    expect(inodes.shown(special)).toBe(special)
    expect(inodes.shown(2 ** 32 - 1)).toBeLessThan(special)
  }
})
