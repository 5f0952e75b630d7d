import { type Checksum, EMPTY_CHECKSUM, type Position, toTXID } from '../ltx/format/types.ts'
import { UnknownStateError } from './errors.ts'
import type { Positions } from './positions.ts'

interface Options {
  readonly positions: Positions
  readonly acceptUnknown: boolean
}

/** The position of a database with this checksum. Throws UnknownStateError. */
export function findPosition(path: string, checksum: Checksum, options: Options): Position {
  const { positions, acceptUnknown } = options
  const known = positions.find(checksum)
  if (known !== undefined) return known
  const start = { txid: toTXID(0), checksum }
  if (checksum === EMPTY_CHECKSUM || acceptUnknown) return start
  throw new UnknownStateError(path, checksum, positions.last)
}
