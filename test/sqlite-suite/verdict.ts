import type { Difference } from './compare.ts'
import type { Expectation } from './expected.ts'

/** The differences of one script, sorted by whether they are expected. */
export interface Verdict {
  readonly expected: readonly { readonly difference: Difference; readonly reason: string }[]
  readonly unexpected: readonly Difference[]
  /** Patterns of the list that no difference matches any more. */
  readonly stale: readonly string[]
}

/** Looks each difference up among the expectations for its script. */
export function judge(differences: readonly Difference[], expectations: readonly Expectation[]): Verdict {
  const expected: { difference: Difference; reason: string }[] = []
  const unexpected: Difference[] = []
  const used = new Set<string>()
  for (const difference of differences) {
    const found = expectations.flatMap(({ reason, checks }) => {
      const pattern = checks.find((each) => matches(each, difference.check))
      return pattern === undefined ? [] : [{ reason, pattern }]
    })[0]
    if (found === undefined) unexpected.push(difference)
    else {
      used.add(found.pattern)
      expected.push({ difference, reason: found.reason })
    }
  }
  const always = expectations.filter(({ sometimes }) => sometimes !== true).flatMap(({ checks }) => checks)
  return { expected, unexpected, stale: always.filter((pattern) => !used.has(pattern)) }
}

/** Whether `name` matches `pattern`, in which `*` stands for any characters. */
export function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}
