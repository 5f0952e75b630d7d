/**
 * The succession of leaders: when a candidate may acquire the lease, which leader's transactions it lacks, and what
 * earlier holders may still do.
 */

import type { Leader, LeaseRecord, LeaseView, NodeAddress } from '../lease/lease.ts'
import type { Now, Previous, Rules, Seen, StandingBy, Watching } from './role-state.ts'

/**
 * Whether the address is this node's: the same data directory at the same URL. Then the writer of the record was this
 * process, or is dead.
 */
export function isSelf(address: NodeAddress, rules: Rules): boolean {
  const { self } = rules
  return address.nodeId === self.nodeId && address.hostname === self.hostname && address.url === self.url
}

/** The last leader that may have committed; undefined: none is known. */
export function lastLeader(record: LeaseRecord | undefined, rules: Rules, now: Now): Leader | undefined {
  if (record === undefined || record.term === 0n) {
    const { ledTerm: term, knownTerm } = now
    return term > 0n && term >= knownTerm ? { term, holder: rules.self, kept: 'unknown' } : undefined
  }
  const { term, holder, state } = record
  if (state === 'released') return record.lastLeader
  // Only this node knows that it acquired the lease but never led.
  if (isSelf(holder, rules) && now.ledTerm < term) return record.lastLeader
  return { term, holder, kept: 'unknown' }
}

/**
 * The last leader, if this node lacks some of its transactions. undefined when the node has all that it can know of, or
 * an operator accepts the loss.
 */
export function missingLeader(state: Watching, rules: Rules, now: Now): Leader | undefined {
  const leader = lastLeader(state.lastRecord, rules, now)
  if (leader === undefined || leader.term <= state.acceptedTerm || isThisNode(leader, rules, now)) return undefined
  return leader.term > now.historyTerm || leader.kept === 'alone' ? leader : undefined
}

/** The time from which a candidate may acquire the lease. */
export function freeFromMs(state: StandingBy, seen: Seen, rules: Rules, now: Now): number {
  const fromMs = unheldFromMs(state, seen, rules, now)
  if (!rules.hasBackup) return fromMs
  // A live replica may have more than the backup, so it goes first, unless the backup is known to have everything.
  const missing = missingLeader(state, rules, now)
  if (missing === undefined || missing.kept === 'elsewhere') return fromMs
  return Math.max(fromMs, seen.sinceMs) + rules.ttlMs
}

/** The time from which nobody holds the lease. */
function unheldFromMs(state: StandingBy, { view, sinceMs }: Seen, rules: Rules, now: Now): number {
  if (view.kind !== 'record') {
    // Someone may have removed the record of a live primary.
    return now.newcomer ? foundedFromMs(state, view, sinceMs, rules) : sinceMs + rules.ttlMs
  }
  const { record } = view
  if (record.state === 'released') {
    const reserved = record.successor !== undefined && record.successor !== rules.self.nodeId
    return reserved ? sinceMs + record.ttlMs : sinceMs
  }
  return isSelf(record.holder, rules) ? sinceMs : sinceMs + record.ttlMs
}

/** Nodes with data notice within a TTL that the record is gone, and stand. A node of no cluster hears them. */
function foundedFromMs({ known }: StandingBy, view: LeaseView, sinceMs: number, rules: Rules): number {
  if (rules.found === 'never' || (view.kind === 'vacant' && view.heard === true)) return Infinity
  return rules.found === 'now' && !known ? sinceMs : sinceMs + 2 * rules.ttlMs
}

export function previousTerms(state: StandingBy, { view, sinceMs }: Seen, rules: Rules, now: Now): Previous {
  const record = view.kind === 'record' ? view.record : undefined
  const leader = lastLeader(state.lastRecord, rules, now)
  return {
    released: record?.state === 'released',
    uploadsMayRunUntilMs: uploadsMayRunUntilMs(state, record, sinceMs, rules, now),
    leader,
    ledHere: leader !== undefined && isThisNode(leader, rules, now),
  }
}

function uploadsMayRunUntilMs(
  state: StandingBy,
  record: LeaseRecord | undefined,
  sinceMs: number,
  rules: Rules,
  now: Now,
): number {
  if (record === undefined) return now.newcomer && !state.known ? 0 : now.ms + rules.uploadWindowMs
  // The holder has passed its deadline by now. This node's own uploads do not count: its log has all that it shipped.
  if (record.state === 'held' && !isSelf(record.holder, rules)) return now.ms + rules.uploadWindowMs
  const { uploadsMayRunMs = 0 } = record
  return uploadsMayRunMs === 0 ? 0 : sinceMs + uploadsMayRunMs
}

/** Whether the leader was this node, at any address. */
function isThisNode({ term, holder }: Leader, rules: Rules, now: Now): boolean {
  return holder.nodeId === rules.self.nodeId && term === now.ledTerm
}
