/** A node that does not lead: whom it follows, and whether the lease is its to take. */

import type { Leader, LeaseView } from '../lease/lease.ts'
import { type Event, type Step, to } from './role-events.ts'
import {
  INITIAL,
  type Now,
  type Releasing,
  type Rules,
  see,
  type StandingBy,
  type Told,
  type Watching,
  watching,
  type Yielding,
} from './role-state.ts'
import { freeFromMs, isSelf, lastLeader, missingLeader, whatCameBefore } from './succession.ts'

export function onStandingBy(state: StandingBy, event: Event, rules: Rules, now: Now): Step {
  if (event.type === 'stop') return to({ name: 'stopped', ...watching(state) }, { kind: 'close' })
  if (event.type === 'not-told') return to({ ...state, told: undefined, wakeAtMs: now.ms + retryMs(rules) })
  if (event.type === 'unreachable') return standBy({ ...state, unreachable: event.reason }, rules, now)
  if (event.type === 'seen')
    return standBy({ ...state, ...see(state, event.view, now), unreachable: undefined }, rules, now)
  if (event.type === 'force') {
    const leader = lastLeader(state.lastRecord, rules, now)
    return standBy({ ...state, acceptedTerm: leader?.term ?? 0n }, rules, now)
  }
  return standBy(state, rules, now)
}

/** How soon something that failed is tried again. */
export function retryMs(rules: Rules): number {
  return Math.min(rules.ttlMs / 10, 1_000)
}

export function standBy(state: StandingBy, rules: Rules, now: Now): Step {
  const missing = whomToWaitFor(state, rules, now)
  const { state: after, effects } = decide({ ...state, missing }, rules, now)
  if (missing?.term === state.missing?.term) return to(after, ...effects)
  return to(after, { kind: 'misses', leader: missing }, ...effects)
}

/** What a node without a backup lacks it can get from nobody but those who have it. */
function whomToWaitFor(state: StandingBy, rules: Rules, now: Now): Leader | undefined {
  const { seen, unreachable, notBeforeMs } = state
  if (seen === undefined || unreachable !== undefined) return state.missing
  if (!rules.candidate || rules.hasBackup || seen.view.kind === 'foreign') return undefined
  if (now.ms < Math.max(freeFromMs(state, seen, rules, now), notBeforeMs)) return undefined
  return missingLeader(state, rules, now)
}

function decide(state: StandingBy, rules: Rules, now: Now): Step {
  const { seen, unreachable } = state
  if (seen === undefined) {
    return unreachable === undefined ? to(state) : tell(state, { kind: 'idle', reason: unreachable })
  }
  const { view } = seen
  const told = whatToBe(view, rules, now)
  if (!rules.candidate || view.kind === 'foreign') return tell(state, told)
  const fromMs = Math.max(freeFromMs(state, seen, rules, now), state.notBeforeMs)
  if (now.ms < fromMs) return tell(state, told, fromMs)
  // The next reading brings the next decision.
  if (unreachable !== undefined) return tell(state, state.told ?? told)
  const { missing } = state
  const unfit = now.unfit ?? (missing && `${missing.holder.hostname} led after all that is here`)
  if (unfit !== undefined) {
    const idle: Told = { kind: 'idle', reason: `not fit to lead: ${unfit}` }
    return tell(state, told.kind === 'follow' ? told : idle, now.ms + retryMs(rules))
  }
  const record = view.kind === 'record' ? view.record : undefined
  const over = view.kind === 'record' ? view.version : undefined
  const previous = whatCameBefore(state, seen, rules, now)
  return to(
    { name: 'acquiring', ...watching(state), told: state.told, previous, stop: false },
    { kind: 'acquire', over, record, previous },
  )
}

export function afterwards(state: Yielding | Releasing, rules: Rules, now: Now): Step {
  if (state.stop) return to({ name: 'stopped', ...watching(state) }, { kind: 'close' })
  const unreachable = 'unreachable' in state ? state.unreachable : undefined
  return standBy({ ...INITIAL, ...watching(state), notBeforeMs: state.notBeforeMs, unreachable }, rules, now)
}

export function returnTo(state: Watching, told: Told | undefined, notBeforeMs: number, rules: Rules, now: Now): Step {
  return standBy({ ...INITIAL, ...watching(state), told, notBeforeMs }, rules, now)
}

function whatToBe(view: LeaseView, rules: Rules, now: Now): Told {
  if (view.kind === 'foreign') return { kind: 'idle', reason: view.error.message }
  if (view.kind === 'vacant') return { kind: 'idle', reason: 'there is no primary' }
  const { holder, state, term } = view.record
  if (state === 'released') return { kind: 'idle', reason: `${holder.hostname} has released the lease` }
  if (!isSelf(holder, rules)) return { kind: 'follow', primary: holder, term }
  return { kind: 'idle', reason: now.unfit ?? 'this node no longer leads' }
}

function tell(state: StandingBy, told: Told, wakeAtMs = Infinity): Step {
  const after = { ...state, told, wakeAtMs }
  return state.told !== undefined && sameTold(state.told, told) ? to({ ...after, told: state.told }) : to(after, told)
}

function sameTold(a: Told, b: Told): boolean {
  if (a.kind === 'idle' || b.kind === 'idle') return a.kind === 'idle' && b.kind === 'idle' && a.reason === b.reason
  return a.term === b.term && a.primary.nodeId === b.primary.nodeId && a.primary.url === b.primary.url
}
