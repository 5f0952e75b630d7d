/** A node that does not lead: which primary it follows, and whether it may acquire the lease. */

import type { Leader, LeaseView } from '../lease/lease.ts'
import { electionOf, mayHaveLedLast, mustShow, recordKey, showsFromMs, stood, verdict } from './election.ts'
import { type Event, type Step, to } from './role-events.ts'
import {
  type Assignment,
  INITIAL,
  type Now,
  observe,
  type Releasing,
  retryMs,
  type Rules,
  type StandingBy,
  type Watching,
  watching,
  type Yielding,
} from './role-state.ts'
import { asksToLeave, hasStopped, left, mayAcquireStopping, stopWakeMs } from './stopping.ts'
import { freeFromMs, isSelf, lastLeader, missingLeader, previousTerms } from './succession.ts'

export function onStandingBy(state: StandingBy, event: Event, rules: Rules, now: Now): Step {
  if (event.type === 'stop') return standBy({ ...state, stopByMs: event.byMs ?? now.ms }, rules, now)
  if (event.type === 'left') return standBy(left(state, event, rules, now), rules, now)
  if (event.type === 'stood') return standBy(stood(state, event, rules, now), rules, now)
  if (event.type === 'assignment-failed')
    return to({ ...state, assigned: undefined, wakeAtMs: now.ms + retryMs(rules) })
  if (event.type === 'unreachable') return standBy({ ...state, unreachable: event.reason }, rules, now)
  if (event.type === 'seen')
    return standBy({ ...state, ...observe(state, event.view, now), unreachable: undefined }, rules, now)
  if (event.type === 'force') {
    const leader = lastLeader(state.lastRecord, rules, now)
    return standBy({ ...state, acceptedTerm: leader?.term ?? 0n, acceptsAbsent: true }, rules, now)
  }
  return standBy(state, rules, now)
}

const ELECTING: Assignment = { kind: 'idle', reason: 'the lease is free, and its candidates compare what they have' }

export function standBy(state: StandingBy, rules: Rules, now: Now): Step {
  if (hasStopped(state, rules, now)) return to({ name: 'stopped', ...watching(state) }, { kind: 'close' })
  if (!asksToLeave(state, now)) return standOn(state, rules, now)
  const { state: after, effects } = standOn({ ...state, leaving: { kind: 'asked' } }, rules, now)
  return to(after, ...effects, { kind: 'leave' })
}

function standOn(state: StandingBy, rules: Rules, now: Now): Step {
  const missing = leaderToWaitFor(state, rules, now)
  const { state: after, effects } = decide({ ...state, missing, unfit: undefined }, rules, now)
  if (missing?.term === state.missing?.term) return to(after, ...effects)
  return to(after, { kind: 'wait-for', leader: missing }, ...effects)
}

/** A node without a backup can get the transactions that it lacks only from nodes that have them. */
function leaderToWaitFor(state: StandingBy, rules: Rules, now: Now): Leader | undefined {
  const { seen, unreachable, notBeforeMs } = state
  if (seen === undefined || unreachable !== undefined) return state.missing
  if (!rules.candidate || rules.hasBackup || seen.view.kind === 'foreign') return undefined
  if (now.ms < Math.max(freeFromMs(state, seen, rules, now), notBeforeMs)) return undefined
  return missingLeader(state, rules, now)
}

function decide(state: StandingBy, rules: Rules, now: Now): Step {
  const { seen, unreachable } = state
  if (seen === undefined) {
    if (unreachable === undefined) return to({ ...state, wakeAtMs: stopWakeMs(state, now) })
    return assign(state, { kind: 'idle', reason: unreachable }, now)
  }
  const { view } = seen
  const assigned = assignmentFor(view, rules, now)
  if (view.kind === 'foreign') return assign(state, assigned, now)
  const mayLead = rules.candidate && now.unfit === undefined && state.missing === undefined
  const fromMs = Math.max(freeFromMs(state, seen, rules, now), state.notBeforeMs)
  const isEarly = mayLead && now.ms < fromMs && mayHaveLedLast(now)
  if ((!mayLead || isEarly) && mustShow(state, seen, rules, now)) {
    const election = electionOf(view, isEarly ? fromMs + rules.settleMs : now.ms)
    // It has left the last leader when it did so for the first time.
    const hasLeft = state.election?.of === election.of
    const assignment = isEarly ? assigned : hasLeft ? (state.assigned ?? ELECTING) : ELECTING
    const { state: after } = assign({ ...state, election }, assignment, now, isEarly ? fromMs : undefined)
    return to(after, { kind: 'stand', of: recordKey(view) })
  }
  const showsMs = showsFromMs(state, seen, rules, now)
  if (!rules.candidate) return assign(state, assigned, now, showsMs)
  if (!mayAcquireStopping(state, rules)) return assign(state, assigned, now)
  if (now.ms < fromMs) return assign(state, assigned, now, isEarly ? Math.min(fromMs, showsMs) : fromMs)
  // The lease cannot be read. The next reading decides.
  if (unreachable !== undefined) return assign(state, state.assigned ?? assigned, now)
  const { missing } = state
  const unfit = now.unfit ?? (missing && `${missing.holder.hostname} led later than this node's history reaches`)
  if (unfit !== undefined) {
    const idle: Assignment = { kind: 'idle', reason: `not fit to lead: ${unfit}` }
    const held = { ...state, unfit: now.unfit }
    return assign(held, assigned.kind === 'follow' ? assigned : idle, now, now.ms + retryMs(rules))
  }
  const next = verdict(state, seen, rules, now)
  if (next.kind !== 'acquire') {
    const { election, wakeAtMs } = next
    const { state: after } = assign({ ...state, election }, ELECTING, now, wakeAtMs)
    return next.kind === 'ask' ? to(after, { kind: 'stand', of: election.of }) : to(after)
  }
  const record = view.kind === 'record' ? view.record : undefined
  const over = view.kind === 'record' ? view.version : undefined
  const previous = previousTerms(state, seen, rules, now)
  return to(
    { name: 'acquiring', ...watching(state), assigned: state.assigned, previous, stop: false },
    { kind: 'acquire', over, record, previous },
  )
}

export function afterwards(state: Yielding | Releasing, rules: Rules, now: Now): Step {
  if (state.stop) return to({ name: 'stopped', ...watching(state) }, { kind: 'close' })
  const unreachable = 'unreachable' in state ? state.unreachable : undefined
  return standBy({ ...INITIAL, ...watching(state), notBeforeMs: state.notBeforeMs, unreachable }, rules, now)
}

export function returnTo(
  state: Watching,
  assigned: Assignment | undefined,
  notBeforeMs: number,
  rules: Rules,
  now: Now,
): Step {
  return standBy({ ...INITIAL, ...watching(state), assigned, notBeforeMs }, rules, now)
}

function assignmentFor(view: LeaseView, rules: Rules, now: Now): Assignment {
  if (view.kind === 'foreign') return { kind: 'idle', reason: view.error.message }
  if (view.kind === 'vacant') return { kind: 'idle', reason: 'there is no primary' }
  const { holder, state, term } = view.record
  if (state === 'released') return { kind: 'idle', reason: `${holder.hostname} has released the lease` }
  if (!isSelf(holder, rules)) return { kind: 'follow', primary: holder, term }
  return { kind: 'idle', reason: now.unfit ?? 'this node no longer leads' }
}

function assign(state: StandingBy, assigned: Assignment, now: Now, wakeAtMs = Infinity): Step {
  const after = { ...state, assigned, wakeAtMs: Math.min(wakeAtMs, stopWakeMs({ ...state, assigned }, now)) }
  return state.assigned !== undefined && isSameAssignment(state.assigned, assigned)
    ? to({ ...after, assigned: state.assigned })
    : to(after, assigned)
}

function isSameAssignment(a: Assignment, b: Assignment): boolean {
  if (a.kind === 'idle' || b.kind === 'idle') return a.kind === 'idle' && b.kind === 'idle' && a.reason === b.reason
  return a.term === b.term && a.primary.nodeId === b.primary.nodeId && a.primary.url === b.primary.url
}
