/**
 * From when on a candidate may take the lease, whom it should leave it to, and what it has to expect of whoever had it
 * before.
 */

import type { Leader, LeaseRecord, NodeAddress } from '../lease/lease.ts'
import type { Now, Previous, Rules, Seen, StandingBy, Watching } from './role-state.ts'

/**
 * The record is this very node's: the same data directory at the same address, so whoever wrote it was this process or
 * is dead.
 */
export function isSelf(address: NodeAddress, rules: Rules): boolean {
  const { self } = rules
  return address.nodeId === self.nodeId && address.hostname === self.hostname && address.url === self.url
}

/** The last that may have taken commits; undefined: nobody, as far as anyone knows. */
export function lastLeader(record: LeaseRecord | undefined, rules: Rules, now: Now): Leader | undefined {
  if (record === undefined || record.term === 0n) {
    const { ledTerm: term, knownTerm } = now
    return term > 0n && term >= knownTerm ? { term, holder: rules.self, kept: 'unknown' } : undefined
  }
  const { term, holder, state } = record
  if (state === 'released') return record.lastLeader
  // Whether a holder came to lead, it alone knows.
  if (isSelf(holder, rules) && now.ledTerm < term) return record.lastLeader
  return { term, holder, kept: 'unknown' }
}

/**
 * Whoever led after all that this node has; undefined where it has everything that can be known of, or an operator
 * accepts the loss.
 */
export function missingLeader(state: Watching, rules: Rules, now: Now): Leader | undefined {
  const leader = lastLeader(state.lastRecord, rules, now)
  if (leader === undefined || leader.term <= state.acceptedTerm || isThisNode(leader, rules, now)) return undefined
  return leader.term > now.historyTerm || leader.kept === 'alone' ? leader : undefined
}

/** From when on a candidate may take the lease. */
export function freeFromMs(state: StandingBy, seen: Seen, rules: Rules, now: Now): number {
  const fromMs = leftFromMs(state, seen, rules, now)
  if (!rules.hasBackup) return fromMs
  // A replica that lives may have more than the backup: it goes first, unless everything is known to be there.
  const missing = missingLeader(state, rules, now)
  if (missing === undefined || missing.kept === 'elsewhere') return fromMs
  return Math.max(fromMs, seen.sinceMs) + rules.ttlMs
}

/** From when on nobody has it. */
function leftFromMs(state: StandingBy, { view, sinceMs }: Seen, rules: Rules, now: Now): number {
  if (view.kind !== 'record') {
    // Nothing there may mean that somebody removed the record of a primary that lives. Not to a node without any
    // history:
    // what it begins is another cluster.
    return now.newcomer && !state.known ? sinceMs : sinceMs + rules.ttlMs
  }
  const { record } = view
  if (record.state === 'released') {
    const reserved = record.successor !== undefined && record.successor !== rules.self.nodeId
    return reserved ? sinceMs + record.ttlMs : sinceMs
  }
  return isSelf(record.holder, rules) ? sinceMs : sinceMs + record.ttlMs
}

export function whatCameBefore(state: StandingBy, { view, sinceMs }: Seen, rules: Rules, now: Now): Previous {
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
  // Of one that has passed its deadline by now. Not of this node itself: whatever it shipped is in its own log.
  if (record.state === 'held' && !isSelf(record.holder, rules)) return now.ms + rules.uploadWindowMs
  const { uploadsMayRunMs = 0 } = record
  return uploadsMayRunMs === 0 ? 0 : sinceMs + uploadsMayRunMs
}

/** At whatever address it was then. */
function isThisNode({ term, holder }: Leader, rules: Rules, now: Now): boolean {
  return holder.nodeId === rules.self.nodeId && term === now.ledTerm
}
