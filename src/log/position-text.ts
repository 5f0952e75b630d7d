import { z } from 'zod'
import { parsePosition } from '../ltx/format/types.ts'
import { MAX_TXID } from './limits.ts'

/** A position in a state file. */
export const positionText = z
  .string()
  .regex(/^[0-9a-f]{16}\/[0-9a-f]{16}$/, { error: 'expected a position, TXID/checksum', abort: true })
  .refine((text) => parsePosition(text).txid <= MAX_TXID, 'its transaction number is larger than any')
