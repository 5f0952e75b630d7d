/** The events and the effects of a role (role.ts). */

import type { NodeName } from '../../util/node-address.ts'
import type { Leader, LeaseRecord, LeaseVersion, LeaseView } from '../lease/lease.ts'
import type { Assignment, Previous, Release, State } from './role-state.ts'

export type Event =
  | { readonly type: 'seen'; readonly view: LeaseView }
  | { readonly type: 'unreachable'; readonly reason: string }
  | { readonly type: 'tick' }
  /** The host failed to carry out the last assignment. */
  | { readonly type: 'assignment-failed' }
  | { readonly type: 'acquired'; readonly term: bigint; readonly sentAtMs: number; readonly view: LeaseView }
  | { readonly type: 'not-acquired'; readonly view: LeaseView }
  | { readonly type: 'acquire-failed'; readonly reason: string }
  | { readonly type: 'renewed'; readonly term: bigint; readonly sentAtMs: number; readonly view: LeaseView }
  /** The lease is lost: another node holds it, or its record is gone. */
  | { readonly type: 'not-renewed'; readonly term: bigint; readonly view: LeaseView }
  | { readonly type: 'renew-failed'; readonly term: bigint; readonly reason: string }
  | { readonly type: 'led'; readonly term: bigint }
  | { readonly type: 'lead-failed'; readonly term: bigint; readonly reason: string }
  | { readonly type: 'handoff'; readonly to: string }
  | {
      readonly type: 'drained'
      readonly term: bigint
      readonly successor?: string | undefined
      readonly kept: Leader['kept']
    }
  | { readonly type: 'stepped-down'; readonly clean: boolean }
  | { readonly type: 'released'; readonly view: LeaseView | undefined }
  /** The answer to `stand`: the fit candidates that have more, who has most first, and who has not shown. */
  | {
      readonly type: 'stood'
      readonly of: string
      readonly ahead: readonly NodeName[]
      readonly absent: readonly NodeName[]
    }
  /** An operator wants this node to lead, even without transactions that other nodes have. */
  | { readonly type: 'force' }
  /** Without `byMs`, or after it, the node ends as soon as it leads no more, whoever has its transactions. */
  | { readonly type: 'stop'; readonly byMs?: number }
  /** The answer to `leave`. */
  | ({ readonly type: 'left' } & Left)

/** What a node that stops knows of its transactions. */
export interface Left {
  /** The leader knows that this node stops. It makes this node its successor no more, and has what to ship. */
  readonly told: boolean
  /** No transaction of this node is known to be missing elsewhere, or there is no place to ship it to. */
  readonly safe: boolean
}

export type Effect =
  | Assignment
  | {
      readonly kind: 'acquire'
      readonly over: LeaseVersion | undefined
      readonly record: LeaseRecord | undefined
      readonly previous: Previous
    }
  | { readonly kind: 'renew' }
  /** Follow nobody, apply what was received, publish how far this node is, and read what others have published. */
  | { readonly kind: 'stand'; readonly of: string }
  | { readonly kind: 'extend'; readonly deadlineMs: number }
  | { readonly kind: 'lead'; readonly term: bigint; readonly previous: Previous }
  | { readonly kind: 'drain'; readonly term: bigint; readonly to?: string | undefined }
  /** From now on this node acknowledges no commit. */
  | { readonly kind: 'fence' }
  /** Abort a running `lead` or `drain`. */
  | { readonly kind: 'abort' }
  | { readonly kind: 'step-down'; readonly reason: string }
  | ({ readonly kind: 'release' } & Release)
  /** The leader that this node waits for before it leads; undefined: none any more. */
  | { readonly kind: 'wait-for'; readonly leader: Leader | undefined }
  /** The node stops: tell the leader that it is no successor. */
  | { readonly kind: 'leave' }
  | { readonly kind: 'close' }

export interface Step<S extends State = State> {
  readonly state: S
  readonly effects: readonly Effect[]
}

export function to<S extends State>(state: S, ...effects: Effect[]): Step<S> {
  return { state, effects }
}
