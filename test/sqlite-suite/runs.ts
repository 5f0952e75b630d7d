import { expectationsFor } from './expected.ts'
import type { NodeSettings } from './mount-side.ts'
import type { Judged } from './report.ts'
import type { Outcome } from './suite.ts'
import type { Verdict } from './verdict.ts'
import { judge } from './verdict.ts'

/** The runs of each script, some of which ran more than once. */
export class Runs {
  readonly #settings: NodeSettings
  readonly #outcomes = new Map<string, Outcome[]>()

  constructor(settings: NodeSettings, earlier: readonly Outcome[]) {
    this.#settings = settings
    this.add(earlier)
  }

  add(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      const known = this.#outcomes.get(outcome.script)
      if (known === undefined) this.#outcomes.set(outcome.script, [outcome])
      else known.push(outcome)
    }
  }

  /** How often it has run. */
  count(script: string): number {
    return this.#outcomes.get(script)?.length ?? 0
  }

  /** The last run of each script. */
  judged(): Judged[] {
    const all = [...this.#outcomes].sort(([a], [b]) => a.localeCompare(b, 'en'))
    return all.map(([script, outcomes]) => ({
      outcome: outcomes.at(-1),
      verdict: this.#verdict(script, outcomes),
    }))
  }

  #verdict(script: string, outcomes: readonly Outcome[]): Verdict {
    return judge(
      outcomes.map(({ differences }) => differences),
      expectationsFor(script, this.#settings),
    )
  }
}
