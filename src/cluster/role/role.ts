/**
 * A node's role as a pure state machine. The rules (I6): a node leads only between acquiring the lease and its
 * deadline, which is counted from before the last renewal was sent, less a margin; a record held by another is taken
 * over only after it has not changed for its whole TTL; a released one at once, but within a TTL only by its successor
 * if it names one; a node that is no candidate, or is unfit, takes nothing; one that lacks what a later leader may have
 * committed leaves it to those who have it (succession.ts). All times are milliseconds of the node's own monotonic
 * clock.
 */

import { onLeading } from './leading.ts'
import { type Event, type Step, to } from './role-events.ts'
import { INITIAL, type Leading, type Now, type Rules, see, type State, watching } from './role-state.ts'
import { afterwards, onStandingBy, retryMs, returnTo, standBy } from './standing-by.ts'

type On<S extends State> = (state: S, event: Event, rules: Rules, now: Now) => Step

const handlers: { readonly [N in State['name']]: On<Extract<State, { name: N }>> } = {
  'standing-by': onStandingBy,

  acquiring: (state, event, rules, now) => {
    const { stop, told } = state
    if (event.type === 'stop') return to({ ...state, stop: true })
    if (event.type === 'seen') return to({ ...state, ...see(state, event.view, now) })
    if (event.type === 'acquired') {
      const after = { ...state, ...see(state, event.view, now) }
      const deadlineMs = event.sentAtMs + rules.ttlMs - rules.marginMs
      const { uploadsMayRunUntilMs } = state.previous
      if (stop) {
        const releasing = { name: 'releasing', ...watching(after), stop, notBeforeMs: 0 } as const
        return to(releasing, { kind: 'release', kept: 'unknown', uploadsMayRunUntilMs })
      }
      // It took so long that it is nearly over: the record is this node's own, and the next attempt can follow.
      if (now.ms >= deadlineMs) return returnTo(after, told, now.ms + retryMs(rules), rules, now)
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
      return returnTo({ ...state, ...see(state, event.view, now) }, told, 0, rules, now)
    return standBy(
      { ...INITIAL, ...watching(state), told, unreachable: event.reason, notBeforeMs: now.ms + retryMs(rules) },
      rules,
      now,
    )
  },

  leading: onLeading,

  yielding: (state, event, rules, now) => {
    if (event.type === 'stop') return to({ ...state, stop: true })
    if (event.type === 'seen') return to({ ...state, ...see(state, event.view, now) })
    if (event.type !== 'stepped-down') return to(state)
    const { stop, notBeforeMs, release } = state
    // A node that could not step down has only its deadline: to say that it released the lease would be a lie.
    if (release === undefined || !event.clean) return afterwards(state, rules, now)
    return to({ name: 'releasing', ...watching(state), stop, notBeforeMs }, { kind: 'release', ...release })
  },

  releasing: (state, event, rules, now) => {
    if (event.type === 'stop') return to({ ...state, stop: true })
    if (event.type === 'seen') return to({ ...state, ...see(state, event.view, now) })
    if (event.type !== 'released') return to(state)
    const seen = event.view === undefined ? {} : see(state, event.view, now)
    return afterwards({ ...state, ...seen }, rules, now)
  },

  stopped: (state) => to(state),
}

export function next(state: State, event: Event, rules: Rules, now: Now): Step {
  return (handlers[state.name] as On<State>)(state, event, rules, now)
}

/** When something happens by itself; Infinity: not before the next event. */
export function wakeAtMs(state: State): number {
  if (state.name === 'standing-by') return state.wakeAtMs
  if (state.name !== 'leading') return Infinity
  return state.renewing ? state.deadlineMs : Math.min(state.deadlineMs, state.renewAtMs)
}
