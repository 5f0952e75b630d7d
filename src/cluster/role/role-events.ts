/** What a role (role.ts) hears, and what it asks for. */

import type { Leader, LeaseRecord, LeaseVersion, LeaseView } from '../lease/lease.ts'
import type { Previous, Release, State, Told } from './role-state.ts'

export type Event =
  | { readonly type: 'seen'; readonly view: LeaseView }
  | { readonly type: 'unreachable'; readonly reason: string }
  | { readonly type: 'tick' }
  /** What the node was told last did not work. */
  | { readonly type: 'not-told' }
  | { readonly type: 'acquired'; readonly term: bigint; readonly sentAtMs: number; readonly view: LeaseView }
  | { readonly type: 'not-acquired'; readonly view: LeaseView }
  | { readonly type: 'acquire-failed'; readonly reason: string }
  | { readonly type: 'renewed'; readonly term: bigint; readonly sentAtMs: number; readonly view: LeaseView }
  /** The lease belongs to somebody else. */
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
  /** An operator wants this node to lead, whatever others have that it has not. */
  | { readonly type: 'force' }
  | { readonly type: 'stop' }

export type Effect =
  | Told
  | {
      readonly kind: 'acquire'
      readonly over: LeaseVersion | undefined
      readonly record: LeaseRecord | undefined
      readonly previous: Previous
    }
  | { readonly kind: 'renew' }
  | { readonly kind: 'extend'; readonly deadlineMs: number }
  | { readonly kind: 'lead'; readonly term: bigint; readonly previous: Previous }
  | { readonly kind: 'drain'; readonly term: bigint; readonly to?: string | undefined }
  /** Nobody may count on anything from now on: no commit, and no `lead` or `drain` that is under way. */
  | { readonly kind: 'fence' }
  /** End a `lead` or `drain` that is under way. */
  | { readonly kind: 'abort' }
  | { readonly kind: 'step-down'; readonly reason: string }
  | ({ readonly kind: 'release' } & Release)
  /** Whom this node waits for before it leads; undefined: for nobody any more. */
  | { readonly kind: 'misses'; readonly leader: Leader | undefined }
  | { readonly kind: 'close' }

export interface Step<S extends State = State> {
  readonly state: S
  readonly effects: readonly Effect[]
}

export function to<S extends State>(state: S, ...effects: Effect[]): Step<S> {
  return { state, effects }
}
