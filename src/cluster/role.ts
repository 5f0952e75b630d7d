/**
 * A node's role as a pure state machine. The rules (I6):
 * a node leads only between acquiring the lease and its deadline, which is counted from before the last renewal was
 * sent, less a margin; a record held by another is taken over only after it has not changed for its whole TTL; a released one
 * at once, but within a TTL only by its successor if it names one; a node that is no candidate, or is unfit, takes nothing.
 * All times are milliseconds of the node's own monotonic clock.
 */

import type { LeaseRecord, LeaseVersion, LeaseView, NodeAddress } from './lease.ts'

export interface Rules {
  readonly self: NodeAddress
  readonly candidate: boolean
  /** Infinity: a lease without end. */
  readonly ttlMs: number
  /** A holder stops that much before its TTL is over, for clocks that run at different speeds. */
  readonly marginMs: number
  /** How long after a handoff, or after it failed to take over, a node leaves the lease to others. */
  readonly demoteMs: number
  /** How long after its deadline an upload of a holder may still take effect. */
  readonly uploadWindowMs: number
}

/** What is true when the event happens. */
export interface Now {
  readonly ms: number
  /** Why this node must not lead. */
  readonly unfit?: string | undefined
  /** It knows no cluster and no term: an empty node. */
  readonly newcomer: boolean
}

export interface Seen {
  readonly view: LeaseView
  /** Since when it has not changed, as seen from here. */
  readonly sinceMs: number
}

/** What the node was told to be while it does not lead. */
export type Told =
  | { readonly kind: 'follow'; readonly primary: NodeAddress; readonly term: bigint }
  | { readonly kind: 'idle'; readonly reason: string }

export interface Previous {
  readonly released: boolean
  readonly uploadsMayRunUntilMs: number
}

/** What becomes of a node when it no longer leads. */
interface Afterwards {
  readonly stop: boolean
  readonly notBeforeMs: number
}

interface Watching {
  /** Undefined until the lease was read for the first time. */
  readonly seen: Seen | undefined
  /** A record has been there in this process's time. */
  readonly known: boolean
}

export interface StandingBy extends Watching {
  readonly name: 'standing-by'
  readonly told: Told | undefined
  /** Why the lease cannot be read; undefined while it can. */
  readonly unreachable: string | undefined
  readonly notBeforeMs: number
  readonly wakeAtMs: number
}

export interface Acquiring extends Watching {
  readonly name: 'acquiring'
  readonly told: Told | undefined
  readonly previous: Previous
  readonly stop: boolean
}

export interface Leading extends Watching {
  readonly name: 'leading'
  readonly phase: 'taking-over' | 'serving' | 'handing-over' | 'stopping'
  readonly term: bigint
  readonly deadlineMs: number
  readonly renewAtMs: number
  readonly renewing: boolean
  /** Why the last renewal did not work. */
  readonly unreachable: string | undefined
  /** With 'handing-over': to whom. */
  readonly to?: string | undefined
}

export interface Yielding extends Watching, Afterwards {
  readonly name: 'yielding'
  readonly term: bigint
  /** Undefined: the lease is lost, there is nothing to release. */
  readonly release: { readonly successor?: string | undefined } | undefined
  readonly unreachable: string | undefined
}

export interface Releasing extends Watching, Afterwards {
  readonly name: 'releasing'
}

export interface Stopped extends Watching {
  readonly name: 'stopped'
}

export type State = StandingBy | Acquiring | Leading | Yielding | Releasing | Stopped

export type Event =
  | { readonly type: 'seen'; readonly view: LeaseView }
  | { readonly type: 'unreachable'; readonly reason: string }
  | { readonly type: 'tick' }
  /** What the node was told last did not work. */
  | { readonly type: 'not-told' }
  | { readonly type: 'acquired'; readonly term: bigint; readonly sentAtMs: number; readonly view: LeaseView }
  | { readonly type: 'not-acquired'; readonly view: LeaseView }
  | { readonly type: 'acquire-failed'; readonly reason: string }
  | { readonly type: 'renewed'; readonly term: bigint; readonly sentAtMs: number; readonly view: LeaseView }
  /** The lease belongs to somebody else. */
  | { readonly type: 'not-renewed'; readonly term: bigint; readonly view: LeaseView }
  | { readonly type: 'renew-failed'; readonly term: bigint; readonly reason: string }
  | { readonly type: 'led'; readonly term: bigint }
  | { readonly type: 'lead-failed'; readonly term: bigint; readonly reason: string }
  | { readonly type: 'handoff'; readonly to: string }
  | { readonly type: 'drained'; readonly term: bigint; readonly successor?: string | undefined }
  | { readonly type: 'stepped-down'; readonly clean: boolean }
  | { readonly type: 'released'; readonly view: LeaseView | undefined }
  | { readonly type: 'stop' }

export type Effect =
  | Told
  | { readonly kind: 'acquire'; readonly over: LeaseVersion | undefined; readonly record: LeaseRecord | undefined }
  | { readonly kind: 'renew' }
  | { readonly kind: 'extend'; readonly deadlineMs: number }
  | { readonly kind: 'lead'; readonly term: bigint; readonly previous: Previous }
  | { readonly kind: 'drain'; readonly term: bigint; readonly to?: string | undefined }
  /** Nobody may count on anything from now on: no commit, and no `lead` or `drain` that is under way. */
  | { readonly kind: 'fence' }
  /** End a `lead` or `drain` that is under way. */
  | { readonly kind: 'abort' }
  | { readonly kind: 'step-down'; readonly reason: string }
  | { readonly kind: 'release'; readonly successor?: string | undefined }
  | { readonly kind: 'close' }

export interface Step<S extends State = State> {
  readonly state: S
  readonly effects: readonly Effect[]
}

export const INITIAL: StandingBy = {
  name: 'standing-by',
  seen: undefined,
  known: false,
  told: undefined,
  unreachable: undefined,
  notBeforeMs: 0,
  wakeAtMs: Infinity,
}

type On<S extends State> = (state: S, event: Event, rules: Rules, now: Now) => Step

const handlers: { readonly [N in State['name']]: On<Extract<State, { name: N }>> } = {
  'standing-by': (state, event, rules, now) => {
    if (event.type === 'stop') return to({ name: 'stopped', ...watching(state) }, { kind: 'close' })
    if (event.type === 'not-told') return to({ ...state, told: undefined, wakeAtMs: now.ms + retryMs(rules) })
    if (event.type === 'unreachable') return standBy({ ...state, unreachable: event.reason }, rules, now)
    if (event.type === 'seen')
      return standBy({ ...state, ...see(state, event.view, now), unreachable: undefined }, rules, now)
    return standBy(state, rules, now)
  },

  acquiring: (state, event, rules, now) => {
    const { stop, told } = state
    if (event.type === 'stop') return to({ ...state, stop: true })
    if (event.type === 'seen') return to({ ...state, ...see(state, event.view, now) })
    if (event.type === 'acquired') {
      const after = { ...state, ...see(state, event.view, now) }
      const deadlineMs = event.sentAtMs + rules.ttlMs - rules.marginMs
      if (stop) return to({ name: 'releasing', ...watching(after), stop, notBeforeMs: 0 }, { kind: 'release' })
      // It took so long that it is nearly over: the record is this node's own, and the next attempt can follow.
      if (now.ms >= deadlineMs) return returnTo(after, told, now.ms + retryMs(rules), rules, now)
      const leading: Leading = {
        name: 'leading',
        phase: 'taking-over',
        ...watching(after),
        term: event.term,
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

  leading: (state, event, rules, now) => {
    if (event.type === 'seen') state = { ...state, ...see(state, event.view, now) }
    if (now.ms >= state.deadlineMs) {
      const stop = event.type === 'stop' || state.phase === 'stopping'
      return lose(state, 'the lease could not be renewed before its deadline', stop)
    }
    if ('term' in event && event.term !== state.term) return to(state)
    const { phase } = state
    switch (event.type) {
      case 'tick':
        return renewWhenDue(state, now)
      case 'seen':
        // What was read may be older than what was written: only a renewal tells.
        return isOwn(event.view, state, rules) ? to(state) : renewWhenDue({ ...state, renewAtMs: now.ms }, now)
      case 'renewed': {
        const deadlineMs = event.sentAtMs + rules.ttlMs - rules.marginMs
        const renewAtMs = event.sentAtMs + rules.ttlMs / 3
        const renewed = {
          ...state,
          ...see(state, event.view, now),
          deadlineMs,
          renewAtMs,
          renewing: false,
          unreachable: undefined,
        }
        return to(renewed, { kind: 'extend', deadlineMs })
      }
      case 'not-renewed':
        return lose({ ...state, ...see(state, event.view, now) }, whoTookIt(event.view), phase === 'stopping')
      case 'renew-failed':
        return to({ ...state, renewing: false, renewAtMs: now.ms + retryMs(rules), unreachable: event.reason })
      case 'led':
        return phase === 'taking-over' ? to({ ...state, phase: 'serving' }) : to(state)
      case 'lead-failed':
        return yieldLease(state, {}, event.reason, { stop: phase === 'stopping', notBeforeMs: now.ms + rules.demoteMs })
      case 'handoff':
        if (phase !== 'serving') return to(state)
        return to({ ...state, phase: 'handing-over', to: event.to }, { kind: 'drain', term: state.term, to: event.to })
      case 'drained': {
        const { successor } = event
        if (phase === 'stopping') return yieldLease(state, { successor }, 'stopping', { stop: true, notBeforeMs: 0 })
        if (phase !== 'handing-over') return to(state)
        if (successor === undefined || successor !== state.to) return to({ ...state, phase: 'serving', to: undefined })
        const notBeforeMs = now.ms + rules.demoteMs
        return yieldLease(state, { successor }, `handing over to ${successor}`, { stop: false, notBeforeMs })
      }
      case 'stop':
        if (phase === 'serving') return to({ ...state, phase: 'stopping' }, { kind: 'drain', term: state.term })
        if (phase === 'handing-over') return to({ ...state, phase: 'stopping' })
        if (phase === 'stopping') return to(state)
        return yieldLease(state, {}, 'stopping', { stop: true, notBeforeMs: 0 }, { kind: 'abort' })
      default:
        return to(state)
    }
  },

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

/** The record is this very node's: the same data directory at the same address, so whoever wrote it was this process or is dead. */
export function isSelf(address: NodeAddress, rules: Rules): boolean {
  const { self } = rules
  return address.nodeId === self.nodeId && address.hostname === self.hostname && address.url === self.url
}

/** How soon something that failed is tried again. */
function retryMs(rules: Rules): number {
  return Math.min(rules.ttlMs / 10, 1_000)
}

function standBy(state: StandingBy, rules: Rules, now: Now): Step {
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
  if (now.unfit !== undefined) {
    const idle: Told = { kind: 'idle', reason: `not fit to lead: ${now.unfit}` }
    return tell(state, told.kind === 'follow' ? told : idle, now.ms + retryMs(rules))
  }
  const record = view.kind === 'record' ? view.record : undefined
  const over = view.kind === 'record' ? view.version : undefined
  const previous = whatCameBefore(state, seen, rules, now)
  return to(
    { name: 'acquiring', ...watching(state), told: state.told, previous, stop: false },
    { kind: 'acquire', over, record },
  )
}

/** From when on a candidate may take the lease. */
function freeFromMs(state: StandingBy, { view, sinceMs }: Seen, rules: Rules, now: Now): number {
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

function whatCameBefore(state: StandingBy, { view }: Seen, rules: Rules, now: Now): Previous {
  const released = view.kind === 'record' && view.record.state === 'released'
  const nobody = view.kind === 'vacant' && now.newcomer && !state.known
  // Whoever held it has passed its deadline by now.
  return { released, uploadsMayRunUntilMs: released || nobody ? 0 : now.ms + rules.uploadWindowMs }
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

function whoTookIt(view: LeaseView): string {
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

function yieldLease(
  state: Leading,
  release: { readonly successor?: string | undefined },
  reason: string,
  after: Afterwards,
  ...effects: Effect[]
): Step {
  const { term, unreachable } = state
  const yielding: Yielding = { name: 'yielding', ...watching(state), term, release, unreachable, ...after }
  return to(yielding, ...effects, { kind: 'step-down', reason })
}

function afterwards(state: Yielding | Releasing, rules: Rules, now: Now): Step {
  if (state.stop) return to({ name: 'stopped', ...watching(state) }, { kind: 'close' })
  const unreachable = 'unreachable' in state ? state.unreachable : undefined
  return standBy({ ...INITIAL, ...watching(state), notBeforeMs: state.notBeforeMs, unreachable }, rules, now)
}

function returnTo(state: Watching, told: Told | undefined, notBeforeMs: number, rules: Rules, now: Now): Step {
  return standBy({ ...INITIAL, ...watching(state), told, notBeforeMs }, rules, now)
}

function watching({ seen, known }: Watching): Watching {
  return { seen, known }
}

/** Keeps the time of what has not changed, whatever was written beside it. */
function see(state: Watching, view: LeaseView, now: Now): Watching {
  const { seen } = state
  const unchanged = seen !== undefined && sameContent(seen.view, view)
  return { seen: { view, sinceMs: unchanged ? seen.sinceMs : now.ms }, known: state.known || view.kind !== 'vacant' }
}

function sameContent(a: LeaseView, b: LeaseView): boolean {
  if (a.kind !== 'record' || b.kind !== 'record') return a.kind === b.kind
  const [x, y] = [a.record, b.record]
  return x.term === y.term && x.state === y.state && x.renewals === y.renewals && x.holder.nodeId === y.holder.nodeId
}

function to<S extends State>(state: S, ...effects: Effect[]): Step<S> {
  return { state, effects }
}
