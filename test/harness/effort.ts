/**
 * The number of repetitions in tests, and their seed. A test that repeats something has a short form for every run, and
 * a long form with LTXD_LONG=1, which makes the same checks more often. docs/testing.md lists both.
 */

import assert from 'node:assert/strict'

const LONG = process.env['LTXD_LONG'] === '1'

/** The short form of a test, or with LTXD_LONG=1 the long one. */
export function form<T>(short: T, long: T): T {
  return LONG ? long : short
}

/** A number for the short and the long form. The environment variable, if set, takes precedence. */
export function effort(short: number, long: number, variable?: string): number {
  const asked = variable === undefined ? undefined : process.env[variable]
  return asked === undefined ? form(short, long) : Number(asked)
}

/**
 * The seed of random tests, shown in the name of each test that uses it. The short form has the same one each time: of
 * one tree, it says the same twice. The long form draws one. LTXD_SEED=N replays a run, LTXD_SEED=random draws one.
 */
export const SEED = seedFrom(process.env['LTXD_SEED'] ?? form('20260214', 'random'))

function seedFrom(text: string): number {
  if (text === 'random') return Math.floor(Math.random() * 2 ** 31)
  assert.match(text, /^\d+$/, `LTXD_SEED is ${text}: expected a number, or random`)
  return Number(text)
}

/** A test that takes longer counts as hung. This is no expectation of speed. */
export const HANG_MS = 300_000
