/**
 * How much the tests do, and from which seed. Each test that repeats something has a short form, which every run does,
 * and a long form, which LTXD_LONG=1 does: the same checks, more of them. docs/testing.md lists both.
 */

const LONG = process.env['LTXD_LONG'] === '1'

/** What a test does in its short form, and in its long one. */
export function form<T>(short: T, long: T): T {
  return LONG ? long : short
}

/** How often, or for how long. A variable of the environment, where a test names one, counts more. */
export function effort(short: number, long: number, variable?: string): number {
  const asked = variable === undefined ? undefined : process.env[variable]
  return asked === undefined ? form(short, long) : Number(asked)
}

/** Random, and in the name of each test that uses it; LTXD_SEED=N replays them. */
export const SEED = Number(process.env['LTXD_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** After so long a test is taken to hang. It says nothing of how fast a test should be, on however busy a machine. */
export const HANG_MS = 300_000
