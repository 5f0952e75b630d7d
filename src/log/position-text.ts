import { z } from 'zod'

/** A position in a state file. */
export const positionText = z.string().regex(/^[0-9a-f]{16}\/[0-9a-f]{16}$/, 'expected a position, TXID/checksum')
