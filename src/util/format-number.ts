/**
 * The number of a stored format, under the key `format`. A version that changes a format so that earlier versions could
 * not read it, or would misread it, increments the number; one that only adds to it does not. Version 0.1 wrote no
 * numbers: what has none has format 1.
 */

import { LtxdError } from './errors.ts'
import { VERSION } from './version.ts'

const MAX_SHOWN = 40

/** A later version wrote this. */
export class UnknownFormatError extends LtxdError {
  /** `place` names what has the format; `known` are all formats that this version reads. */
  constructor(place: string, found: unknown, known: readonly number[]) {
    const shown = (JSON.stringify(found) ?? String(found)).slice(0, MAX_SHOWN)
    super(
      'FORMAT_UNKNOWN',
      `${place} has format ${shown}, but ltxd ${VERSION} knows only ${known.join(', ')}. Nothing was changed. ` +
        'Use the version that wrote it, or a later one',
    )
  }
}

/** Throws UnknownFormatError. `stored` is the parsed JSON; anything but an object has no number. */
export function assertFormat(place: string, stored: unknown, known: readonly number[]): void {
  if (typeof stored !== 'object' || stored === null || !('format' in stored)) return
  const { format } = stored
  if (typeof format !== 'number' || !known.includes(format)) throw new UnknownFormatError(place, format, known)
}
