import assert from 'node:assert/strict'

/** A database, as far as its acknowledgements are concerned. */
export interface Acknowledging {
  readonly name: string
  /** How many transactions were appended to its log. */
  readonly appended: number
}

/**
 * I1: called right before an application's commit is let through. `before` is `appended` as of before the transaction was
 * captured.
 */
export function assertLogged({ name, appended }: Acknowledging, before: number): void {
  assert.ok(appended > before, `I1: a commit of ${name} would be acknowledged that is not in the LTX log`)
}
