import type { Difference } from './compare.ts'
import type { Expectation } from './expected.ts'

/** From so many runs of a script on, what depends on timing must have occurred in one of them. */
export const MANY_RUNS = 10

/** The differences of one script, sorted by whether they are expected. */
export interface Verdict {
  readonly expected: readonly { readonly difference: Difference; readonly reason: string }[]
  readonly unexpected: readonly Difference[]
  /** Patterns of the list that no difference matches any more; after many runs also those that depend on timing. */
  readonly stale: readonly string[]
  /** Patterns of differences that depend on timing, and were in none of a few runs. */
  readonly unseen: readonly string[]
}

/**
 * Looks each difference of a script up among the expectations for it. `runs` has all its runs, the last one at the end,
 * which alone counts for what is expected.
 */
export function judge(runs: readonly (readonly Difference[])[], expectations: readonly Expectation[]): Verdict {
  const known = expectations.flatMap((each) => each.checks.map((pattern) => ({ ...each, pattern })))
  const entryFor = ({ check }: Difference) => known.find(({ pattern }) => matches(pattern, check))
  const last = runs.at(-1) ?? []
  const inLast = new Set(last.map(entryFor))
  const inAny = new Set(runs.flat().map(entryFor))
  const isMany = runs.length >= MANY_RUNS
  const patterns = (select: (each: (typeof known)[number]) => boolean) =>
    known.filter(select).map(({ pattern }) => pattern)
  return {
    expected: last.flatMap((difference) => {
      const reason = entryFor(difference)?.reason
      return reason === undefined ? [] : [{ difference, reason }]
    }),
    unexpected: runs.flat().filter((difference) => entryFor(difference) === undefined),
    stale: patterns((each) => (each.sometimes === true ? isMany && !inAny.has(each) : !inLast.has(each))),
    unseen: patterns((each) => each.sometimes === true && !isMany && !inAny.has(each)),
  }
}

/** Whether `name` matches `pattern`, in which `*` stands for any characters. */
export function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}
