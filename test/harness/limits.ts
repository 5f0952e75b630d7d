import { type Limits, LIMITS_VARIABLE, limitsFrom } from '../../src/config/limits.ts'

/**
 * Sets these time limits for all processes that this test file starts from now on.
 */
export function shorten(limits: Partial<Limits>): Limits {
  process.env[LIMITS_VARIABLE] = JSON.stringify(limits)
  return limitsFrom(process.env)
}
