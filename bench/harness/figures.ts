import { median } from './percentiles.ts'
import type { Sample } from './workload.ts'

/** The result of one side on one line of the table: medians over the rounds. */
export interface Figure {
  /** Operations per second, unless the line has another unit. */
  readonly value: number
  readonly p50Us?: number
  readonly p99Us?: number
  /** The daemon's processor time per operation. */
  readonly daemonUs?: number
}

/** The reason for a missing figure: the journal mode is rejected, or no answer came. */
export interface Missing {
  readonly missing: string
}

export type Outcome = Figure | Missing

export function isFigure(outcome: Outcome): outcome is Figure {
  return 'value' in outcome
}

/** A line of the table. `id` identifies its peer, its target and the same line in a saved run. */
export interface Line {
  readonly id: string
  readonly what: string
  /** Absent if plain SQLite has no equivalent. */
  readonly native?: Outcome
  readonly ltxd: Outcome
  /** ltxd without the condition whose cost the line shows. A target "flat" compares with it. */
  readonly without?: Outcome
}

export interface Round {
  readonly sample: Sample
  readonly daemonUs: number | undefined
}

/** The medians over the rounds of a measurement. */
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

/** The share of native speed that ltxd reaches; undefined if either figure is missing. */
export function shareOfNative(line: Line): number | undefined {
  if (line.native === undefined || !isFigure(line.native) || !isFigure(line.ltxd)) return undefined
  return line.ltxd.value / line.native.value
}

function present(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined)
}
