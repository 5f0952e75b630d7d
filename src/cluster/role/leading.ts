/** A node that holds the lease: it renews the lease, leads until the deadline, and releases the lease. */

import type { LeaseView } from '../lease/lease.ts'
import { type Effect, type Event, type Step, to } from './role-events.ts'
import {
  type Afterwards,
  type Leading,
  type Now,
  observe,
  type Release,
  retryMs,
  type Rules,
  watching,
  type Yielding,
} from './role-state.ts'
import { isSelf } from './succession.ts'

export function onLeading(state: Leading, event: Event, rules: Rules, now: Now): Step {
  if (event.type === 'seen') state = { ...state, ...observe(state, event.view, now) }
  if (now.ms >= state.deadlineMs) {
    const stop = event.type === 'stop' || state.phase === 'stopping'
    return lose(state, 'the lease could not be renewed before its deadline', stop)
  }
  if (now.ms >= (state.stopByMs ?? Infinity)) return hurry(state, event, rules, now)
  if ('term' in event && event.term !== state.term) return to(state)
  const { phase } = state
  switch (event.type) {
    case 'tick':
      return renewWhenDue(state, now)
    case 'seen':
      // A read may be older than this node's last write. A renewal shows whether the lease is lost.
      return isOwn(event.view, state, rules) ? to(state) : renewWhenDue({ ...state, renewAtMs: now.ms }, now)
    case 'renewed': {
      const deadlineMs = event.sentAtMs + rules.ttlMs - rules.marginMs
      const renewAtMs = event.sentAtMs + rules.ttlMs / 3
      const renewed = {
        ...state,
        ...observe(state, event.view, now),
        deadlineMs,
        renewAtMs,
        renewing: false,
        unreachable: undefined,
      }
      return to(renewed, { kind: 'extend', deadlineMs })
    }
    case 'not-renewed':
      return lose({ ...state, ...observe(state, event.view, now) }, reasonOfLoss(event.view), phase === 'stopping')
    case 'renew-failed':
      return to({ ...state, renewing: false, renewAtMs: now.ms + retryMs(rules), unreachable: event.reason })
    case 'led':
      if (phase !== 'taking-over') return to(state)
      if (state.stopByMs === undefined) return to({ ...state, phase: 'serving' })
      return to({ ...state, phase: 'stopping' }, { kind: 'drain', term: state.term })
    case 'lead-failed': {
      const pauseMs = state.stopByMs === undefined ? rules.demoteMs : retryMs(rules)
      return yieldLease(state, NEVER_LED, event.reason, { stop: phase === 'stopping', notBeforeMs: now.ms + pauseMs })
    }
    case 'handoff':
      if (phase !== 'serving') return to(state)
      return to({ ...state, phase: 'handing-over', to: event.to }, { kind: 'drain', term: state.term, to: event.to })
    case 'drained': {
      const { successor, kept } = event
      const release = { successor, kept }
      // A handoff that did not succeed: its transactions are here alone.
      if (phase === 'stopping' && state.to !== undefined && successor === undefined)
        return to({ ...state, to: undefined }, { kind: 'drain', term: state.term })
      if (phase === 'stopping') return yieldLease(state, release, 'stopping', { stop: true, notBeforeMs: 0 })
      if (phase !== 'handing-over') return to(state)
      if (successor === undefined || successor !== state.to) return to({ ...state, phase: 'serving', to: undefined })
      const notBeforeMs = now.ms + rules.demoteMs
      return yieldLease(state, release, `handoff to ${successor}`, { stop: false, notBeforeMs })
    }
    case 'stop':
      return stop({ ...state, stopByMs: event.byMs }, now)
    default:
      return to(state)
  }
}

function stop(state: Leading, now: Now): Step {
  const { phase, stopByMs = 0 } = state
  if (phase === 'serving') return to({ ...state, phase: 'stopping' }, { kind: 'drain', term: state.term })
  if (phase === 'handing-over') return to({ ...state, phase: 'stopping' })
  // Who was made the successor, or may have what no other node has, ships before it stops.
  if (phase === 'stopping' || stopByMs > now.ms) return to(state)
  return yieldLease(state, NEVER_LED, 'stopping', { stop: true, notBeforeMs: 0 }, { kind: 'abort' })
}

/** The time for the stop is over: whatever is under way ends without its result. */
function hurry(state: Leading, event: Event, rules: Rules, now: Now): Step {
  const late = { ...state, stopByMs: undefined }
  if (state.phase === 'taking-over') return stop(late, now)
  const { state: after, effects } = onLeading(late, event, rules, now)
  return to(after, { kind: 'abort' }, ...effects)
}

function renewWhenDue(state: Leading, now: Now): Step {
  if (state.renewing || now.ms < state.renewAtMs) return to(state)
  return to({ ...state, renewing: true }, { kind: 'renew' })
}

function isOwn(view: LeaseView, { term }: Leading, rules: Rules): boolean {
  return (
    view.kind === 'record' &&
    view.record.state === 'held' &&
    view.record.term === term &&
    isSelf(view.record.holder, rules)
  )
}

function reasonOfLoss(view: LeaseView): string {
  if (view.kind === 'foreign') return view.error.message
  return view.kind === 'record' ? `${view.record.holder.hostname} has taken the lease` : 'the lease record is gone'
}

function lose(state: Leading, reason: string, stop: boolean): Step {
  const { term, unreachable } = state
  return to(
    { name: 'yielding', ...watching(state), term, release: undefined, unreachable, stop, notBeforeMs: 0 },
    { kind: 'fence' },
    { kind: 'abort' },
    { kind: 'step-down', reason },
  )
}

/** The release of a node that acquired the lease but never led. */
const NEVER_LED = { kept: 'unknown' } as const

function yieldLease(
  state: Leading,
  release: Omit<Release, 'uploadsMayRunUntilMs'>,
  reason: string,
  after: Afterwards,
  ...effects: Effect[]
): Step {
  const { term, unreachable, previous } = state
  const { uploadsMayRunUntilMs } = previous
  const complete = { ...release, uploadsMayRunUntilMs }
  const yielding: Yielding = { name: 'yielding', ...watching(state), term, release: complete, unreachable, ...after }
  return to(yielding, ...effects, { kind: 'step-down', reason })
}
