/**
 * Time limits that no key of ltxd.yml sets: nobody has a reason to choose them, and some follow from others. All are
 * here, because tests that wait for one would wait for minutes: they shorten it for the processes that they start, with
 * LTXD_TEST_LIMITS. A limit can be shortened alone, never made longer, and what follows from a limit is computed from
 * it where it is used.
 */

import { LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'

const DEFAULTS = {
  /** How long an object store may take to give its next sign of life, retries of its client included. */
  answerMs: 15_000,
  /**
   * How long one upload under a lease may take, and may take effect after the lease ended
   * (backup/history/upload-window.ts).
   */
  uploadMs: 15_000,
}

export type Limits = Readonly<Record<keyof typeof DEFAULTS, number>>

export const LIMITS_VARIABLE = 'LTXD_TEST_LIMITS'

/** What an environment asks for: a JSON object of limits and milliseconds. Throws LtxdError. */
export function limitsFrom(environment: NodeJS.ProcessEnv): Limits {
  const text = environment[LIMITS_VARIABLE]
  return text === undefined ? DEFAULTS : { ...DEFAULTS, ...parse(text) }
}

function parse(text: string): Partial<Limits> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw wrong('is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('is not an object')
  for (const [name, ms] of Object.entries(value)) {
    const standard = (DEFAULTS as Record<string, number | undefined>)[name]
    if (standard === undefined) throw wrong(`names "${name}", which is no limit`)
    if (!Number.isInteger(ms) || ms < 1 || ms > standard) throw wrong(`has ${name}: not from 1 to ${standard}`)
  }
  return value
}

function wrong(what: string): LtxdError {
  return new LtxdError('TEST_LIMITS', `${LIMITS_VARIABLE} ${what}; only tests of ltxd set it: remove it`, 2)
}

export const LIMITS = limitsFrom(process.env)

/** A node or a worker whose limits are a test's says so when it starts. */
export function warnOfTestLimits(logger: Pick<Logger, 'warn'>): void {
  const limits = process.env[LIMITS_VARIABLE]
  if (limits !== undefined)
    logger.warn({ limits }, `${LIMITS_VARIABLE} is set: only tests of ltxd run with such limits`)
}
