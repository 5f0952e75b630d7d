import { median } from './percentiles.ts'
import type { Sample } from './workload.ts'

/** One place's result on one line of the table: medians over the rounds. */
export interface Figure {
  /** Operations a second, where the line does not say otherwise. */
  readonly value: number
  readonly p50Us?: number
  readonly p99Us?: number
  /** Processor time of the daemon for each operation. */
  readonly daemonUs?: number
}

/** No figure, and why: the journal mode is refused, or no answer came. */
export interface Missing {
  readonly missing: string
}

export type Outcome = Figure | Missing

export function isFigure(outcome: Outcome): outcome is Figure {
  return 'value' in outcome
}

/** One line of the table. `id` finds its peer, its target and its counterpart in a saved run. */
export interface Line {
  readonly id: string
  readonly what: string
  /** Absent where plain SQLite has nothing of the kind. */
  readonly native?: Outcome
  readonly ltxd: Outcome
  /** ltxd's under the condition whose cost the line shows: what a target "flat" compares with. */
  readonly without?: Outcome
}

export interface Round {
  readonly sample: Sample
  readonly daemonUs: number | undefined
}

/** Medians over rounds of the same measurement. */
export function summarize(rounds: readonly Round[]): Figure {
  const p50Us = present(rounds.map((round) => round.sample.p50Us))
  const p99Us = present(rounds.map((round) => round.sample.p99Us))
  const daemonUs = present(
    rounds.map((round) => (round.daemonUs === undefined ? undefined : round.daemonUs / round.sample.operations)),
  )
  return {
    value: median(rounds.map((round) => round.sample.operations / round.sample.seconds)),
    ...(p50Us.length > 0 && { p50Us: median(p50Us) }),
    ...(p99Us.length > 0 && { p99Us: median(p99Us) }),
    ...(daemonUs.length > 0 && { daemonUs: median(daemonUs) }),
  }
}

/** How much of native speed ltxd reaches; undefined when either is missing. */
export function shareOfNative(line: Line): number | undefined {
  if (line.native === undefined || !isFigure(line.native) || !isFigure(line.ltxd)) return undefined
  return line.ltxd.value / line.native.value
}

function present(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined)
}
