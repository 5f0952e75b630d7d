import { type Limits, LIMITS_VARIABLE, limitsFrom } from '../../src/config/limits.ts'

/**
 * What this test file starts from now on has these time limits, so that nobody waits for the long ones of every day.
 */
export function shorten(limits: Partial<Limits>): Limits {
  process.env[LIMITS_VARIABLE] = JSON.stringify(limits)
  return limitsFrom(process.env)
}
