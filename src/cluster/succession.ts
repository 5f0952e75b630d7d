/** From when on a candidate may take the lease, and what it has to expect of whoever had it before. */

import type { NodeAddress } from './lease.ts'
import type { Now, Previous, Rules, Seen, StandingBy } from './role-state.ts'

/** The record is this very node's: the same data directory at the same address, so whoever wrote it was this process or is dead. */
export function isSelf(address: NodeAddress, rules: Rules): boolean {
  const { self } = rules
  return address.nodeId === self.nodeId && address.hostname === self.hostname && address.url === self.url
}

/** From when on a candidate may take the lease. */
export function freeFromMs(state: StandingBy, { view, sinceMs }: Seen, rules: Rules, now: Now): number {
  if (view.kind !== 'record') {
    // Nothing there may mean that somebody removed the record of a primary that lives. Not to a node without any history:
    // what it begins is another cluster.
    return now.newcomer && !state.known ? now.ms : sinceMs + rules.ttlMs
  }
  const { record } = view
  if (record.state === 'released') {
    const reserved = record.successor !== undefined && record.successor !== rules.self.nodeId
    return reserved ? sinceMs + record.ttlMs : now.ms
  }
  return isSelf(record.holder, rules) ? now.ms : sinceMs + record.ttlMs
}

export function whatCameBefore(state: StandingBy, { view }: Seen, rules: Rules, now: Now): Previous {
  const released = view.kind === 'record' && view.record.state === 'released'
  const nobody = view.kind === 'vacant' && now.newcomer && !state.known
  // Whoever held it has passed its deadline by now.
  return { released, uploadsMayRunUntilMs: released || nobody ? 0 : now.ms + rules.uploadWindowMs }
}
