import type { CheckResult, Results } from './output.ts'

/** How a program ended that was given a time limit. */
export type End =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: string }
  | { readonly kind: 'time limit' }

/** A program's run in one place. */
export interface Run {
  readonly results: Results
  readonly end: End
  readonly seconds: number
}

/** Something that is not the same on the plain directory and on the mount. */
export interface Difference {
  /** The name of a check; or END; or LOG and a message. */
  readonly check: string
  readonly plain: string
  readonly mount: string
}

/** The names of differences that are not in a check. No check has such a name. */
export const END = '(end)'
export const LOG = '(log)'

/**
 * Compares check by check, by name and occurrence. Where one of the two ended early, the checks that it did not reach
 * are one difference, END.
 */
export function compare(plain: Run, mount: Run): Difference[] {
  const differences: Difference[] = []
  const [plainEnd, mountEnd] = [describeEnd(plain), describeEnd(mount)]
  if (plainEnd !== mountEnd) differences.push({ check: END, plain: plainEnd, mount: mountEnd })
  const names = new Set([...plain.results.checks.keys(), ...mount.results.checks.keys()])
  const bothFinished = plain.results.finished && mount.results.finished
  for (const check of names) {
    const [inPlain, inMount] = [plain.results.checks.get(check) ?? [], mount.results.checks.get(check) ?? []]
    const compared = bothFinished ? Math.max(inPlain.length, inMount.length) : Math.min(inPlain.length, inMount.length)
    const at = Array.from({ length: compared }, (_, i) => i).find((i) => differ(inPlain[i], inMount[i]))
    if (at !== undefined) differences.push({ check, plain: describe(inPlain[at]), mount: describe(inMount[at]) })
  }
  return differences
}

/** Whether the run came to its own end, or an error of the script ended it, as it may on a plain directory, too. */
function describeEnd({ results, end }: Run): string {
  if (results.finished) return 'finished'
  switch (end.kind) {
    case 'exit':
      return `ended early, at ${results.last}: ${results.after}`
    case 'signal':
      return `killed by ${end.signal}, in ${results.last}`
    case 'time limit':
      return `time limit, in ${results.last}`
  }
}

/** A check that fails only on the plain directory depends on timing, or on root's rights. */
function differ(plain: CheckResult | undefined, mount: CheckResult | undefined): boolean {
  if (plain === undefined || mount === undefined) return plain !== mount
  return plain.ok && !mount.ok
}

function describe(result: CheckResult | undefined): string {
  if (result === undefined) return 'missing'
  return result.ok ? 'ok' : (result.detail ?? 'failed')
}
