import assert from 'node:assert/strict'

/** A database whose commits are acknowledged. */
export interface Acknowledging {
  readonly name: string
  /** How many transactions were appended to its log. */
  readonly appended: number
}

/**
 * Asserts I1 right before an application's commit is let through. `before` is the value of `appended` before the
 * transaction was captured.
 */
export function assertLogged({ name, appended }: Acknowledging, before: number): void {
  assert.ok(appended > before, `I1: a commit of ${name} is about to be acknowledged, but it is not in the LTX log`)
}
