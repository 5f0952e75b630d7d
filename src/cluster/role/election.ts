/**
 * An election. A candidate that finds the lease free first publishes how far it is, waits for others to do the same,
 * and leaves the lease to a candidate that has more, for a bounded time.
 */

import type { NodeName } from '../../util/node-address.ts'
import type { LeaseView } from '../lease/lease.ts'
import type { Election } from './election-state.ts'
import type { Event } from './role-events.ts'
import { type Now, retryMs, type Rules, type Seen, type StandingBy, type Watching } from './role-state.ts'
import { isSelf } from './succession.ts'

/** The key of a lease without a record. */
export const VACANT = 'vacant'

/** What must not change while candidates compare themselves. */
export function recordKey(view: LeaseView): string {
  if (view.kind !== 'record') return view.kind === 'vacant' ? VACANT : view.kind
  const { term, state, renewals, holder } = view.record
  return `${term} ${state} ${renewals} ${holder.nodeId}`
}

/** How long the candidates for a released lease may take to publish. They all hear of it at the same time. */
const RELEASED_MS = 100
/**
 * After so many times the pause between two readings of the candidacies this process was stopped, or hung. What it read
 * may be gone with its own candidacy, for which the others wait; and it has yielded to nobody meanwhile.
 */
const STALE_RETRIES = 3

/** `acquire`: nobody who is known to have more is waited for. */
export type Verdict =
  | { readonly kind: 'acquire' }
  | { readonly kind: 'ask' | 'wait'; readonly election: Election; readonly wakeAtMs: number }

export function verdict(state: StandingBy, seen: Seen, rules: Rules, now: Now): Verdict {
  const { view } = seen
  if (!isElected(view, rules, now)) return { kind: 'acquire' }
  const of = recordKey(view)
  const before = state.election?.of === of ? state.election : undefined
  if (before === undefined) {
    const released = view.kind === 'record' && view.record.state === 'released'
    const settleMs = released ? Math.min(RELEASED_MS, rules.settleMs) : rules.settleMs
    return ask(electionOf(view, now.ms + settleMs))
  }
  const { settledAtMs, readAtMs, ahead, yielding, absent } = before
  if (readAtMs === undefined) return { kind: 'wait', election: before, wakeAtMs: Infinity }
  // What it published may be lost as the record was.
  if (now.ms < settledAtMs) return askAgainAt(Math.min(showsFromMs(state, seen, rules, now), settledAtMs), before, now)
  if (now.ms > readAtMs + STALE_RETRIES * retryMs(rules)) return ask({ ...before, yielding: undefined, yieldedTo: [] })
  if (readAtMs < settledAtMs) return ask(before)
  if (missed(state, absent, rules).length > 0) return askAgainAt(readAtMs + retryMs(rules), before, now)
  if (yielding === undefined) return { kind: 'acquire' }
  const yieldedAtMs = yielding.sinceMs + yieldMs(view, rules)
  if (now.ms < yieldedAtMs) return askAgainAt(Math.min(readAtMs + retryMs(rules), yieldedAtMs), before, now)
  const hadTime = [...before.yieldedTo, yielding.nodeId]
  if (ahead.every(({ nodeId }) => hadTime.includes(nodeId))) return { kind: 'acquire' }
  return ask({ ...before, yielding: undefined, yieldedTo: hadTime })
}

function askAgainAt(atMs: number, election: Election, now: Now): Verdict {
  return now.ms >= atMs ? ask(election) : { kind: 'wait', election, wakeAtMs: atMs }
}

/**
 * The nodes without which this one must not lead. The record says who led last. Where it is gone, any node of the
 * cluster that does not show may have been the one, and only a backup says the same.
 */
export function missed(state: Watching, absent: readonly NodeName[], rules: Rules): readonly NodeName[] {
  return state.seen?.view.kind === 'vacant' && !rules.hasBackup && !state.acceptsAbsent ? absent : []
}

export function electionOf(view: LeaseView, settledAtMs: number): Election {
  return {
    of: recordKey(view),
    settledAtMs,
    readAtMs: undefined,
    ahead: [],
    yielding: undefined,
    yieldedTo: [],
    absent: [],
  }
}

/**
 * When a node that belongs to a cluster shows itself because the record is gone, even if it must not lead itself: no
 * empty node founds another cluster then, and no other node waits for it. Once a TTL, because what it published may be
 * lost in the same way. The last leader does so at once, and again and again: it has to wait for a TTL before it leads,
 * and until then the others do not know that it is there, with what it alone has. Infinity: there is no reason.
 */
export function showsFromMs(state: StandingBy, { view, sinceMs }: Seen, rules: Rules, now: Now): number {
  if (view.kind !== 'vacant' || now.newcomer || rules.settleMs === 0) return Infinity
  const before = state.election?.of === recordKey(view) ? state.election : undefined
  const isLast = mayHaveLedLast(now)
  if (before === undefined) return isLast ? sinceMs : sinceMs + rules.ttlMs
  return before.readAtMs === undefined ? Infinity : before.readAtMs + (isLast ? retryMs(rules) : rules.ttlMs)
}

/** No leader of a later term is known. */
export function mayHaveLedLast({ ledTerm, knownTerm }: Now): boolean {
  return ledTerm > 0n && ledTerm >= knownTerm
}

/**
 * Where the record is gone, one that has more may itself have to wait for a TTL: it saw that later, or was restarted
 * since.
 */
export function yieldMs(view: LeaseView, rules: Rules): number {
  return view.kind === 'record' || rules.yieldMs === 0 ? rules.yieldMs : rules.yieldMs + rules.ttlMs
}

export function mustShow(state: StandingBy, seen: Seen, rules: Rules, now: Now): boolean {
  return state.unreachable === undefined && now.ms >= showsFromMs(state, seen, rules, now)
}

function ask(election: Election): Verdict {
  return { kind: 'ask', election: { ...election, readAtMs: undefined }, wakeAtMs: Infinity }
}

/** A named successor, the holder itself after a restart, and an empty node that founds a cluster have no rivals. */
function isElected(view: LeaseView, rules: Rules, { newcomer }: Now): boolean {
  if (rules.settleMs === 0) return false
  if (view.kind !== 'record') return !newcomer
  const { state, successor, holder } = view.record
  return state === 'released' ? successor !== rules.self.nodeId : !isSelf(holder, rules)
}

export function stood(state: StandingBy, event: Event & { type: 'stood' }, rules: Rules, now: Now): StandingBy {
  const { election } = state
  const { of, ahead, absent } = event
  if (election?.of !== of) return state
  // A candidate that cannot lead yet either has not had its time.
  const mayLead = missed(state, absent, rules).length === 0
  const turn = mayLead ? nextTurn(election, ahead, now) : { yielding: undefined }
  return { ...state, election: { ...election, readAtMs: now.ms, ahead, absent, ...turn } }
}

/** One after the other: who has less waits for all that have more, and those for each other. */
function nextTurn(
  { yielding, yieldedTo }: Election,
  ahead: readonly NodeName[],
  now: Now,
): Pick<Election, 'yielding' | 'yieldedTo'> {
  if (yielding !== undefined && ahead.some(({ nodeId }) => nodeId === yielding.nodeId)) return { yielding, yieldedTo }
  const hadTime = yielding === undefined ? yieldedTo : [...yieldedTo, yielding.nodeId]
  const next = ahead.find(({ nodeId }) => !hadTime.includes(nodeId))
  return { yielding: next && { nodeId: next.nodeId, sinceMs: now.ms }, yieldedTo: hadTime }
}
