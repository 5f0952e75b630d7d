/**
 * What a node knows of the lease, and what it makes of that: the states of its role (role.ts), and what they are judged
 * by.
 */

import type { Leader, LeaseRecord, LeaseView, NodeAddress } from '../lease/lease.ts'

export interface Rules {
  readonly self: NodeAddress
  readonly candidate: boolean
  /** Infinity: a lease without end. */
  readonly ttlMs: number
  /** A holder stops that much before its TTL is over, for clocks that run at different speeds. */
  readonly marginMs: number
  /** How long after a handoff, or after it failed to take over, a node leaves the lease to others. */
  readonly demoteMs: number
  /** How long after its deadline an upload of a holder may still take effect. */
  readonly uploadWindowMs: number
  /** What others committed and this node never got, it takes from there before it leads. */
  readonly hasBackup: boolean
}

/** What is true when the event happens. */
export interface Now {
  readonly ms: number
  /** Why this node must not lead. */
  readonly unfit?: string | undefined
  /** It knows no cluster and no term: an empty node. */
  readonly newcomer: boolean
  /** As of RoleHost. */
  readonly knownTerm: bigint
  readonly ledTerm: bigint
  readonly historyTerm: bigint
}

export interface Seen {
  readonly view: LeaseView
  /** Since when it has not changed, as seen from here. */
  readonly sinceMs: number
}

/** What the node was told to be while it does not lead. */
export type Told =
  | { readonly kind: 'follow'; readonly primary: NodeAddress; readonly term: bigint }
  | { readonly kind: 'idle'; readonly reason: string }

export interface Previous {
  readonly released: boolean
  /** When uploads of earlier holders have surely ended; 0: there are none. */
  readonly uploadsMayRunUntilMs: number
  /** The last that may have taken commits. */
  readonly leader: Leader | undefined
  /** That was this node: nobody else can have added anything to its history. */
  readonly ledHere: boolean
}

/** What the record is to say when this node gives its lease up. */
export interface Release {
  readonly successor?: string | undefined
  readonly kept: Leader['kept']
  readonly uploadsMayRunUntilMs: number
}

/** What becomes of a node when it no longer leads. */
export interface Afterwards {
  readonly stop: boolean
  readonly notBeforeMs: number
}

export interface Watching {
  /** Undefined until the lease was read for the first time. */
  readonly seen: Seen | undefined
  /** A record has been there in this process's time. */
  readonly known: boolean
  /** The newest of them. */
  readonly lastRecord: LeaseRecord | undefined
  /** An operator accepts that what leaders up to this term have alone is lost. */
  readonly acceptedTerm: bigint
}

export interface StandingBy extends Watching {
  readonly name: 'standing-by'
  readonly told: Told | undefined
  /** Why the lease cannot be read; undefined while it can. */
  readonly unreachable: string | undefined
  readonly notBeforeMs: number
  readonly wakeAtMs: number
  /** Led after all that this node has: without it, or one that followed it, this node does not lead. */
  readonly missing: Leader | undefined
}

export interface Acquiring extends Watching {
  readonly name: 'acquiring'
  readonly told: Told | undefined
  readonly previous: Previous
  readonly stop: boolean
}

export interface Leading extends Watching {
  readonly name: 'leading'
  readonly phase: 'taking-over' | 'serving' | 'handing-over' | 'stopping'
  readonly term: bigint
  readonly previous: Previous
  readonly deadlineMs: number
  readonly renewAtMs: number
  readonly renewing: boolean
  /** Why the last renewal did not work. */
  readonly unreachable: string | undefined
  /** With 'handing-over': to whom. */
  readonly to?: string | undefined
}

export interface Yielding extends Watching, Afterwards {
  readonly name: 'yielding'
  readonly term: bigint
  /** Undefined: the lease is lost, there is nothing to release. */
  readonly release: Release | undefined
  readonly unreachable: string | undefined
}

export interface Releasing extends Watching, Afterwards {
  readonly name: 'releasing'
}

export interface Stopped extends Watching {
  readonly name: 'stopped'
}

export type State = StandingBy | Acquiring | Leading | Yielding | Releasing | Stopped

export const INITIAL: StandingBy = {
  name: 'standing-by',
  seen: undefined,
  known: false,
  lastRecord: undefined,
  acceptedTerm: 0n,
  told: undefined,
  unreachable: undefined,
  notBeforeMs: 0,
  wakeAtMs: Infinity,
  missing: undefined,
}

export function watching({ seen, known, lastRecord, acceptedTerm }: Watching): Watching {
  return { seen, known, lastRecord, acceptedTerm }
}

/** Keeps the time of what has not changed, whatever was written beside it. */
export function see(state: Watching, view: LeaseView, now: Now): Watching {
  const { seen } = state
  const unchanged = seen !== undefined && sameContent(seen.view, view)
  return {
    seen: { view, sinceMs: unchanged ? seen.sinceMs : now.ms },
    known: state.known || view.kind !== 'vacant',
    lastRecord: view.kind === 'record' ? view.record : state.lastRecord,
    acceptedTerm: state.acceptedTerm,
  }
}

function sameContent(a: LeaseView, b: LeaseView): boolean {
  if (a.kind !== 'record' || b.kind !== 'record') return a.kind === b.kind
  const [x, y] = [a.record, b.record]
  return x.term === y.term && x.state === y.state && x.renewals === y.renewals && x.holder.nodeId === y.holder.nodeId
}
