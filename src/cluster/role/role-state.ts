/**
 * The states of a node's role (role.ts): what it knows of the lease, and what it does. Also the rules and facts that
 * decide about its transitions.
 */

import type { Leader, LeaseRecord, LeaseView, NodeAddress } from '../lease/lease.ts'
import type { Election } from './election-state.ts'

export interface Rules {
  readonly self: NodeAddress
  readonly candidate: boolean
  /** Infinity: the lease does not expire. */
  readonly ttlMs: number
  /** A holder stops this long before its TTL ends, because clocks run at different speeds. */
  readonly marginMs: number
  /** How long a node does not acquire the lease after a handoff or a failed take-over. */
  readonly demoteMs: number
  /** How long after a holder's deadline one of its uploads may still take effect. */
  readonly uploadWindowMs: number
  /** Before it leads, the node applies from the backup the transactions that it lacks. */
  readonly hasBackup: boolean
  /** How long the candidates for an expired lease may take to publish how far they are; 0: there is no election. */
  readonly settleMs: number
  /** When a node of no cluster may found one: after a silence of two TTLs, at once, or never. */
  readonly found: 'wait' | 'now' | 'never'
  /** How long a candidate leaves the lease to one that has more. */
  readonly yieldMs: number
}

/** Facts at the time of the event. */
export interface Now {
  readonly ms: number
  /** Why this node must not lead. */
  readonly unfit?: string | undefined
  /** The node belongs to no cluster yet. */
  readonly newcomer: boolean
  /** From RoleHost, like the next two. */
  readonly knownTerm: bigint
  readonly ledTerm: bigint
  readonly historyTerm: bigint
}

export interface Seen {
  readonly view: LeaseView
  /** Since when the view has not changed, as observed by this node. */
  readonly sinceMs: number
}

/** What a node does while it does not lead. */
export type Assignment =
  | { readonly kind: 'follow'; readonly primary: NodeAddress; readonly term: bigint }
  | { readonly kind: 'idle'; readonly reason: string }

export interface Previous {
  readonly released: boolean
  /** The time after which no upload of an earlier holder can take effect; 0: there are none. */
  readonly uploadsMayRunUntilMs: number
  /** The last leader that may have committed. */
  readonly leader: Leader | undefined
  /** This node is that leader, so no other node can have extended its history. */
  readonly ledHere: boolean
}

/** The content of the record when this node releases the lease. */
export interface Release {
  readonly successor?: string | undefined
  readonly kept: Leader['kept']
  readonly uploadsMayRunUntilMs: number
}

/** What a node does when it no longer leads. */
export interface Afterwards {
  readonly stop: boolean
  readonly notBeforeMs: number
}

export interface Watching {
  /** undefined until the first reading of the lease. */
  readonly seen: Seen | undefined
  /** Whether this process has ever seen a record. */
  readonly known: boolean
  /** The last record that this process has seen. */
  readonly lastRecord: LeaseRecord | undefined
  /** An operator accepts the loss of transactions that only leaders up to this term have. */
  readonly acceptedTerm: bigint
  /** The same, of nodes that have not shown since the lease lost its record. */
  readonly acceptsAbsent: boolean
  /** The node stops, at this time at the latest. Until then it ships what only it may have. */
  readonly stopByMs: number | undefined
}

export interface StandingBy extends Watching {
  readonly name: 'standing-by'
  readonly assigned: Assignment | undefined
  /** Why the lease cannot be read; undefined while it can. */
  readonly unreachable: string | undefined
  readonly notBeforeMs: number
  readonly wakeAtMs: number
  /** A leader that led later than this node's history reaches. This node waits for it, or for a replica of it. */
  readonly missing: Leader | undefined
  /** Of a node that stops: what it knows of its transactions. */
  readonly leaving: Leaving | undefined
  /** The lease is free, but this node must not lead. */
  readonly unfit: string | undefined
  readonly election: Election | undefined
}

/**
 * asked: the answer to `leave` is due. ends: the node closes at `atMs`, unless it is made the successor by then. alone:
 * it leads if it can, to ship what may be only here, and asks again at `atMs`.
 */
export type Leaving = { readonly kind: 'asked' } | { readonly kind: 'ends' | 'alone'; readonly atMs: number }

export interface Acquiring extends Watching {
  readonly name: 'acquiring'
  readonly assigned: Assignment | undefined
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
  /** Why the last renewal failed; undefined when it did not. */
  readonly unreachable: string | undefined
  /** With 'handing-over': the id of the successor. */
  readonly to?: string | undefined
}

export interface Yielding extends Watching, Afterwards {
  readonly name: 'yielding'
  readonly term: bigint
  /** undefined: the lease is lost, so there is nothing to release. */
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
  acceptsAbsent: false,
  stopByMs: undefined,
  assigned: undefined,
  unreachable: undefined,
  notBeforeMs: 0,
  wakeAtMs: Infinity,
  missing: undefined,
  leaving: undefined,
  election: undefined,
  unfit: undefined,
}

/** How soon a failed operation is retried. */
export function retryMs(rules: Rules): number {
  return Math.min(rules.ttlMs / 10, 1_000)
}

export function watching({ seen, known, lastRecord, acceptedTerm, acceptsAbsent, stopByMs }: Watching): Watching {
  return { seen, known, lastRecord, acceptedTerm, acceptsAbsent, stopByMs }
}

/** Enters a reading. `sinceMs` restarts only when the record changed, not when only the key's version did. */
export function observe(state: Watching, view: LeaseView, now: Now): Watching {
  const { seen } = state
  const unchanged = seen !== undefined && sameContent(seen.view, view)
  return {
    seen: { view, sinceMs: unchanged ? seen.sinceMs : now.ms },
    known: state.known || view.kind !== 'vacant',
    lastRecord: view.kind === 'record' ? view.record : state.lastRecord,
    acceptedTerm: state.acceptedTerm,
    acceptsAbsent: state.acceptsAbsent && view.kind !== 'record',
    stopByMs: state.stopByMs,
  }
}

function sameContent(a: LeaseView, b: LeaseView): boolean {
  if (a.kind !== 'record' || b.kind !== 'record') return a.kind === b.kind
  const [x, y] = [a.record, b.record]
  return x.term === y.term && x.state === y.state && x.renewals === y.renewals && x.holder.nodeId === y.holder.nodeId
}
