/**
 * A node's role as a pure state machine. The rules (I6):
 *
 * * A node leads only from acquiring the lease until its deadline. The deadline is the time before the last successful
 *   write was sent, plus the TTL, less a margin.
 * * A node takes over another holder's record only after the record has not changed for its whole TTL.
 * * A node takes over a released record at once. If the record names a successor, other nodes wait for a TTL.
 * * A node that is not a candidate, or is unfit, does not acquire the lease.
 * * A node that lacks what a later leader may have committed leaves the lease to nodes that have it (succession.ts).
 *
 * All times are milliseconds of the node's own monotonic clock.
 */

import { onLeading } from './leading.ts'
import { type Event, type Step, to } from './role-events.ts'
import {
  type Acquiring,
  INITIAL,
  type Leading,
  type Now,
  observe,
  retryMs,
  type Rules,
  type State,
  watching,
} from './role-state.ts'
import { afterwards, onStandingBy, returnTo, standBy } from './standing-by.ts'

type On<S extends State> = (state: S, event: Event, rules: Rules, now: Now) => Step

const handlers: { readonly [N in State['name']]: On<Extract<State, { name: N }>> } = {
  'standing-by': onStandingBy,

  acquiring: (state, event, rules, now) => {
    const { stop, assigned } = state
    if (event.type === 'stop') return to(asked(state, event, now))
    if (event.type === 'seen') return to({ ...state, ...observe(state, event.view, now) })
    if (event.type === 'acquired') {
      const after = { ...state, ...observe(state, event.view, now) }
      const deadlineMs = event.sentAtMs + rules.ttlMs - rules.marginMs
      const { uploadsMayRunUntilMs } = state.previous
      if (stop) {
        const releasing = { name: 'releasing', ...watching(after), stop, notBeforeMs: 0 } as const
        return to(releasing, { kind: 'release', kept: 'unknown', uploadsMayRunUntilMs })
      }
      // The write took until the deadline. The record is this node's own, so it can try again at once.
      if (now.ms >= deadlineMs) return returnTo(after, assigned, now.ms + retryMs(rules), rules, now)
      const leading: Leading = {
        name: 'leading',
        phase: 'taking-over',
        ...watching(after),
        term: event.term,
        previous: state.previous,
        deadlineMs,
        renewAtMs: event.sentAtMs + rules.ttlMs / 3,
        renewing: false,
        unreachable: undefined,
      }
      return to(leading, { kind: 'extend', deadlineMs }, { kind: 'lead', term: event.term, previous: state.previous })
    }
    if (event.type !== 'not-acquired' && event.type !== 'acquire-failed') return to(state)
    if (stop) return to({ name: 'stopped', ...watching(state) }, { kind: 'close' })
    if (event.type === 'not-acquired')
      return returnTo({ ...state, ...observe(state, event.view, now) }, assigned, 0, rules, now)
    return standBy(
      { ...INITIAL, ...watching(state), assigned, unreachable: event.reason, notBeforeMs: now.ms + retryMs(rules) },
      rules,
      now,
    )
  },

  leading: onLeading,

  yielding: (state, event, rules, now) => {
    if (event.type === 'stop') return to({ ...state, stop: true })
    if (event.type === 'seen') return to({ ...state, ...observe(state, event.view, now) })
    if (event.type !== 'stepped-down') return to(state)
    const { stop, notBeforeMs, release } = state
    // A node that could not step down may still commit until its deadline, so it must not release the lease.
    if (release === undefined || !event.clean) return afterwards(state, rules, now)
    return to({ name: 'releasing', ...watching(state), stop, notBeforeMs }, { kind: 'release', ...release })
  },

  releasing: (state, event, rules, now) => {
    if (event.type === 'stop') return to({ ...state, stop: true })
    if (event.type === 'seen') return to({ ...state, ...observe(state, event.view, now) })
    if (event.type !== 'released') return to(state)
    const seen = event.view === undefined ? {} : observe(state, event.view, now)
    return afterwards({ ...state, ...seen }, rules, now)
  },

  stopped: (state) => to(state),
}

/** With time left, a node that acquires the lease leads, to ship what it has. */
function asked(state: Acquiring, { byMs = 0 }: Event & { type: 'stop' }, now: Now): Acquiring {
  return byMs > now.ms ? { ...state, stopByMs: byMs } : { ...state, stop: true }
}

export function next(state: State, event: Event, rules: Rules, now: Now): Step {
  return (handlers[state.name] as On<State>)(state, event, rules, now)
}

/** When the next 'tick' is due; Infinity: never. */
export function wakeAtMs(state: State): number {
  if (state.name === 'standing-by') return state.wakeAtMs
  if (state.name !== 'leading') return Infinity
  const { deadlineMs, renewAtMs, renewing, stopByMs = Infinity } = state
  return Math.min(deadlineMs, stopByMs, renewing ? Infinity : renewAtMs)
}
