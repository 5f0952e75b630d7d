import { expect, test } from 'vitest'
import { effort, SEED } from '../../test/harness/effort.ts'
import { Random } from '../../test/harness/random.ts'
import { NewestFrames, PageList } from './page-list.ts'

test(`a list of pages is a set, in order, in whatever order they come (LTXD_SEED=${SEED})`, () => {
  const random = new Random(SEED)
  const list = new PageList()
  for (let round = 0; round < 50; round++) {
    const known = new Set<number>()
    const most = random.integer(1, round % 10 === 0 ? 0xffffffff : 300)
    for (let i = random.integer(0, 2000); i > 0; i--) {
      const pgno = random.integer(1, most)
      known.add(pgno)
      list.add(pgno)
      if (random.next() < 0.01) expect(list.size).toBe(known.size)
    }
    const sorted = Array.from(known).sort((a, b) => a - b)
    expect(Array.from(list.sorted())).toEqual(sorted)
    const limit = random.integer(0, most)
    expect(list.countUpTo(limit)).toBe(sorted.filter((pgno) => pgno <= limit).length)
    expect([list.has(sorted[0] ?? 0), list.has(most + 1)]).toEqual([sorted.length > 0, false])
    list.clear()
  }
})

test(`the newest frame of each page is found (LTXD_SEED=${SEED})`, () => {
  const random = new Random(SEED)
  for (let round = 0; round < 200; round++) {
    const most = random.integer(1, round % 10 === 0 ? 0xffffffff : 50)
    const frames = Uint32Array.from({ length: random.integer(0, 200) }, () => random.integer(1, most))
    const known = new Map(Array.from(frames, (pgno, i) => [pgno, i]))
    const newest = new NewestFrames(frames)
    expect(Array.from(newest.pgnos)).toEqual(Array.from(known.keys()).sort((a, b) => a - b))
    for (const [pgno, frame] of known) expect(newest.get(pgno)).toBe(frame)
    expect(newest.get(most + 1)).toBeUndefined()
  }
})

/** A Set or a Map holds 2^24. */
const MANY = effort(100_000, 2 ** 24 + 1000)

test(`${MANY} pages and frames are no more than others`, () => {
  const list = new PageList()
  for (let pgno = MANY; pgno > 0; pgno--) list.add(pgno)
  expect(list.size).toBe(MANY)
  const frames = list.sorted().slice().reverse()
  const newest = new NewestFrames(frames)
  expect([newest.pgnos.length, newest.get(1), newest.get(MANY)]).toEqual([MANY, MANY - 1, 0])
})
