import { z } from 'zod'

/**
 * The highest term that a node reads, writes or leads in. Nobody gets there by elections; a higher one is damage or
 * forged, and would leave no term for the next leader.
 */
export const MAX_TERM = 2n ** 62n

/** A term as decimal digits, 0 included. */
export const termText = z
  .string()
  .regex(/^[0-9]{1,19}$/, 'expected a number')
  .transform(BigInt)
  .refine((term) => term <= MAX_TERM, 'is too large')
