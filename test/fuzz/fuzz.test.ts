/** The files that the fuzzer has found, and a short run of it. `npm run fuzz` runs for any time. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { campaign, judge } from './campaign.ts'
import { Chance } from './chance.ts'
import { DIFFERENCES, explain } from './differences.ts'
import { allocatedBy, examine, memoryBound } from './examine.ts'
import { assemble } from './parts.ts'
import { RECIPES } from './recipes.ts'
import { findGo, Reference } from './reference/process.ts'
import { validFile } from './valid-files.ts'

const present = findGo() !== undefined
if (!present && process.env.CI === 'true') throw new Error('there is no Go to build the reference with')

const SLICE_MS = effort(6_000, 300_000)

describe('a file that was found by fuzzing', () => {
  test.each(RECIPES)('$name: ltxd accepts or rejects it as listed', ({ ltxd, file }) => {
    const bytes = file()
    const verdict = examine([bytes])
    expect(verdict.outcome, String('error' in verdict ? verdict.error : '')).toBe(
      ltxd === 'accepts' ? 'accepted' : 'rejected',
    )
    if (typeof ltxd === 'string' || verdict.outcome !== 'rejected') return
    expect(explain(bytes, verdict.error)?.name, verdict.error.message).toBe(ltxd.rejects)
  })

  test('exists for every listed difference', () => {
    const shown = RECIPES.map(({ ltxd }) => (typeof ltxd === 'string' ? undefined : ltxd.rejects))
    expect(DIFFERENCES.filter(({ name }) => !shown.includes(name)).map(({ name }) => name)).toEqual([])
  })
})

describe.skipIf(!present)('beside superfly/ltx 0.5.3', () => {
  let reference: Reference
  beforeAll(async () => void (reference = await Reference.start()))
  afterAll(() => reference.stop())

  test.each(RECIPES)('$name: the reference accepts or rejects it as listed', async (recipe) => {
    const { outcome } = await reference.verify(recipe.file())
    expect(outcome).toBe(recipe.reference === 'accepts' ? 'accepted' : 'rejected')
  })

  test(`both reject every file that is cut short (LTXD_SEED=${SEED})`, async () => {
    const chance = new Chance(SEED)
    for (let n = 0; n < 10; n++) {
      let file = assemble(validFile(chance))
      while (file.length > 3000) file = assemble(validFile(chance))
      expect((await reference.verify(file)).outcome).toBe('accepted')
      const cuts = Array.from({ length: file.length }, (_, size) => file.slice(0, size))
      const answers = await Promise.all(cuts.map((cut) => reference.verify(cut)))
      answers.forEach((answer, size) => {
        expect(answer.outcome, `${size} bytes`).toBe('rejected')
        expect(examine([cuts[size]!]).outcome, `${size} bytes`).toBe('rejected')
      })
    }
  })

  test(
    `both accept and reject the same mutated files, except for the listed differences (LTXD_SEED=${SEED})`,
    { timeout: HANG_MS + SLICE_MS },
    async () => {
      const start = performance.now()
      const result = await campaign(reference, {
        seed: SEED,
        files: Infinity,
        enough: () => performance.now() - start > SLICE_MS,
      })
      const problems = result.findings.map(({ problem, file }, n) => `${saved(SEED, n, file)}: ${problem}`)
      expect(problems).toEqual([])
      expect(result.accepted).toBeGreaterThan(0)
      expect(result.rejected).toBeGreaterThan(0)
      console.log(`${result.files} files, ${result.accepted} of them accepted`)
    },
  )

  test('a disagreement would be noticed', async () => {
    const [right, wrong] = [RECIPES[0]!.file(), RECIPES.find(({ ltxd }) => ltxd === 'rejects')!.file()]
    const [accepted, rejected] = [await reference.verify(right), await reference.verify(wrong)]
    expect(judge(right, accepted, examine([right]))).toBeUndefined()
    expect(judge(wrong, rejected, examine([wrong]))).toBeUndefined()
    expect(judge(wrong, rejected, examine([right]))).toMatch('ltxd accepts what superfly/ltx rejects')
    expect(judge(wrong, accepted, examine([wrong]))).toMatch('ltxd rejects what superfly/ltx accepts')
    const other = assemble(validFile(new Chance(1)))
    expect(judge(right, accepted, examine([other]))).toBe('both accept, and read other things')
    expect(judge(right, accepted, { outcome: 'crashed', error: new TypeError('x') })).toMatch('ltxd crashes')
  })
})

describe('a false size', () => {
  const file = RECIPES[0]!.file()
  const frame = RECIPES.find(({ name }) => name === 'a frame')!.file()
  const fields: [string, Uint8Array, number, number][] = [
    ['of a database', file, 12, 4],
    ['of a block', file, 106, 4],
    ['of a block in a frame', frame, 113, 4],
    ['of an index', file, file.length - 24, 8],
  ]

  test.each(fields)('%s takes no memory', (_, original, at, size) => {
    for (const byte of [0x7f, 0x80, 0xff]) {
      const lie = original.slice()
      lie.fill(byte, at, at + size)
      // Nothing follows, as from a peer that sends the rest slowly or never.
      for (const end of [at + size, at + size + 1, lie.length]) {
        for (const step of [1, lie.length]) {
          const chunks = Array.from({ length: Math.ceil(end / step) }, (_, n) =>
            lie.subarray(n * step, Math.min(end, (n + 1) * step)),
          )
          const { bytes, result } = allocatedBy(() => examine(chunks))
          expect(result.outcome).toBe('rejected')
          expect(bytes).toBeLessThanOrEqual(memoryBound(512))
        }
      }
    }
  })

  test('that takes memory would be noticed', () => {
    expect(allocatedBy(() => new Uint8Array(1e6)).bytes).toBe(1e6)
  })
})

function saved(seed: number, n: number, file: Uint8Array): string {
  const dir = join('node_modules', '.cache', 'fuzz')
  mkdirSync(dir, { recursive: true })
  const path = join(dir, `${seed}-${n}.ltx`)
  writeFileSync(path, file)
  return path
}
