/**
 * A node that stops while it does not lead. It tells its leader, which then makes another node its successor and ships
 * everything. Without a leader that knows, this node may have transactions that no other node will ship: it stays for
 * a while, leads if it can, and ships them.
 */

import type { Event } from './role-events.ts'
import { type Now, retryMs, type Rules, type StandingBy, type Watching } from './role-state.ts'

/** The record is released for this node, so no other node leads before a TTL has passed. */
function isSuccessor({ seen }: Watching, rules: Rules): boolean {
  if (seen?.view.kind !== 'record') return false
  const { state, successor } = seen.view.record
  return state === 'released' && successor === rules.self.nodeId
}

export function asksToLeave({ stopByMs, leaving, assigned }: StandingBy, now: Now): boolean {
  if (stopByMs === undefined) return false
  if (leaving === undefined) return true
  return leaving.kind === 'alone' && now.ms >= leaving.atMs && assigned?.kind === 'follow'
}

export function left(state: StandingBy, { told, safe }: Event & { type: 'left' }, rules: Rules, now: Now): StandingBy {
  if (state.stopByMs === undefined) return state
  const view = state.seen?.view
  const mayLead = rules.candidate && view?.kind !== 'foreign'
  if (told || !mayLead) return { ...state, leaving: { kind: 'ends', atMs: now.ms } }
  // A leader that was not told may have made this node its successor just now.
  const mayBeNamed = view?.kind === 'record' && view.record.state === 'held'
  if (safe) return { ...state, leaving: { kind: 'ends', atMs: mayBeNamed ? now.ms + retryMs(rules) : now.ms } }
  return { ...state, leaving: { kind: 'alone', atMs: now.ms + retryMs(rules) } }
}

export function hasStopped(state: StandingBy, rules: Rules, now: Now): boolean {
  const { stopByMs, leaving } = state
  if (stopByMs === undefined) return false
  if (now.ms >= stopByMs) return true
  if (rules.candidate && isSuccessor(state, rules)) return false
  return leaving?.kind === 'ends' && now.ms >= leaving.atMs
}

export function mayAcquireStopping(state: StandingBy, rules: Rules): boolean {
  if (state.stopByMs === undefined || isSuccessor(state, rules)) return true
  return rules.hasBackup && state.leaving?.kind === 'alone'
}

/** When the next of these decisions is due. */
export function stopWakeMs({ stopByMs, leaving, assigned }: StandingBy, now: Now): number {
  if (stopByMs === undefined) return Infinity
  if (leaving === undefined || leaving.kind === 'asked') return stopByMs
  const isDue = leaving.kind === 'ends' ? leaving.atMs > now.ms : assigned?.kind === 'follow'
  return isDue ? Math.min(stopByMs, leaving.atMs) : stopByMs
}
