const SHOWN = 10

/** A promise that did not hold. */
export class ProofFailure extends Error {
  override readonly name = 'ProofFailure'
}

/** Throws ProofFailure with the first findings, if there are any. */
export function requireNone(failures: readonly string[]): void {
  if (failures.length === 0) return
  const shown = failures.slice(0, SHOWN)
  const more = failures.length > shown.length ? [`… and ${failures.length - shown.length} more`] : []
  throw new ProofFailure(`the promise did not hold:\n  ${[...shown, ...more].join('\n  ')}`)
}
