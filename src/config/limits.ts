/**
 * Time limits that no key of ltxd.yml sets: users have no reason to choose them, and other durations are computed from
 * them. Tests that wait for a limit would take minutes, so they shorten it with LTXD_TEST_LIMITS for the processes that
 * they start. A limit can be shortened, never extended.
 */

import { LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'

const DEFAULTS = {
  /** How long an object store may take until its next sign of life, including its client's retries. */
  answerMs: 15_000,
  /**
   * How long one upload under a lease may take, and how long after the end of the lease it may take effect
   * (backup/history/upload-window.ts).
   */
  uploadMs: 15_000,
  /**
   * How long the local client of a node that takes over may not answer: a single fsync of a large database takes as
   * long as the disk needs.
   */
  clientMs: 300_000,
}

export type Limits = Readonly<Record<keyof typeof DEFAULTS, number>>

export const LIMITS_VARIABLE = 'LTXD_TEST_LIMITS'

/** Reads the limits from an environment variable: a JSON object of names and milliseconds. Throws LtxdError. */
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
    if (standard === undefined) throw wrong(`names "${name}", which is not a limit`)
    if (!Number.isInteger(ms) || ms < 1 || ms > standard) throw wrong(`has ${name}: expected 1 to ${standard}`)
  }
  return value
}

function wrong(problem: string): LtxdError {
  return new LtxdError('TEST_LIMITS', `${LIMITS_VARIABLE} ${problem}. Only tests of ltxd set it: remove it`, 2)
}

export const LIMITS = limitsFrom(process.env)

/** Warns, at the start of a node or a worker, that its limits are a test's. */
export function warnOfTestLimits(logger: Pick<Logger, 'warn'>): void {
  const limits = process.env[LIMITS_VARIABLE]
  if (limits !== undefined)
    logger.warn({ limits }, `${LIMITS_VARIABLE} shortens time limits: only tests of ltxd set it`)
}
