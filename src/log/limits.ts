import type { TXID } from '../ltx/format/types.ts'

/**
 * The highest TXID that a node reads from a file, an object or a peer. Nobody gets there by writing; a higher one is
 * damage or forged, and would leave no number for what follows.
 */
export const MAX_TXID = (2n ** 62n) as TXID
