import type { Difference } from './compare.ts'
import type { Expectation } from './expected.ts'

/** The differences of one script, sorted by whether they are expected. */
export interface Verdict {
  readonly expected: readonly { readonly difference: Difference; readonly reason: string }[]
  readonly unexpected: readonly Difference[]
  /** Patterns of the list that no difference matches any more. */
  readonly stale: readonly string[]
  /** Patterns of differences that depend on timing, and were in no run. */
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
  return {
    expected: last.flatMap((difference) => {
      const reason = entryFor(difference)?.reason
      return reason === undefined ? [] : [{ difference, reason }]
    }),
    unexpected: runs.flat().filter((difference) => entryFor(difference) === undefined),
    stale: known.filter((each) => each.sometimes !== true && !inLast.has(each)).map(({ pattern }) => pattern),
    unseen: known.filter((each) => each.sometimes === true && !inAny.has(each)).map(({ pattern }) => pattern),
  }
}

/** Whether `name` matches `pattern`, in which `*` stands for any characters. */
export function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}
