import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClusterMismatchError } from '../lease/errors.ts'
import type { LeaseView } from '../lease/lease.ts'
import { address, held, Node, OTHER, SELF, TTL, VACANT } from '../testing.ts'
import { wakeAtMs } from './role.ts'
import type { Event } from './role-events.ts'
import type { State } from './role-state.ts'

/**
 * Any sequence of events, in any order, with a clock that stands still or jumps: no effect contradicts the rules.
 */
describe('I6, whatever happens', () => {
  const someView = fc.oneof(
    fc.constant(VACANT),
    fc.record({
      kind: fc.constant('record' as const),
      version: fc.string({ minLength: 1, maxLength: 2 }),
      record: fc.record({
        term: fc.bigInt({ min: 1n, max: 12n }),
        holder: fc.constantFrom(SELF, OTHER, address(3), { ...SELF, url: 'http://127.0.0.1:1' }),
        state: fc.constantFrom('held' as const, 'released' as const),
        successor: fc.constantFrom(SELF.nodeId, OTHER.nodeId),
        lastLeader: fc.record({
          term: fc.bigInt({ min: 1n, max: 12n }),
          holder: fc.constantFrom(SELF, OTHER),
          kept: fc.constantFrom('elsewhere' as const, 'alone' as const, 'unknown' as const),
        }),
        clusterId: fc.constant('c'.repeat(16)),
        ttlMs: fc.constantFrom(2_000, TTL),
        renewals: fc.nat(2),
      }),
    }),
    fc.constant<LeaseView>({ kind: 'foreign', error: new ClusterMismatchError('a', 'b') }),
  )
  const term = fc.bigInt({ min: 1n, max: 12n })
  const agoMs = fc.nat(6_000)
  const command = fc.record({
    passMs: fc.oneof(fc.constant(0), fc.nat(4_000), fc.nat(15_000)),
    /** Instead of `passMs`: advance to the state's next tick, or to just before or after it. */
    toWakeMs: fc.option(fc.integer({ min: -1, max: 1 }), { nil: undefined, freq: 2 }),
    unfit: fc.option(fc.constant('behind'), { nil: undefined, freq: 5 }),
    newcomer: fc.boolean(),
    historyTerm: fc.bigInt({ min: 0n, max: 12n }),
    ledTerm: fc.bigInt({ min: 0n, max: 12n }),
    event: fc.oneof(
      fc.record({ type: fc.constant('seen' as const), view: someView }),
      fc.record({ type: fc.constant('unreachable' as const), reason: fc.constant('no answer') }),
      fc.constant({ type: 'tick' as const }),
      fc.constant({ type: 'assignment-failed' as const }),
      fc.constant({ type: 'force' as const }),
      fc.record({ type: fc.constant('acquired' as const), term, sentAtMs: agoMs, view: someView }),
      fc.record({ type: fc.constant('not-acquired' as const), view: someView }),
      fc.record({ type: fc.constant('acquire-failed' as const), reason: fc.constant('no answer') }),
      fc.record({ type: fc.constant('renewed' as const), term, sentAtMs: agoMs, view: someView }),
      fc.record({ type: fc.constant('not-renewed' as const), term, view: someView }),
      fc.record({ type: fc.constant('renew-failed' as const), term, reason: fc.constant('no answer') }),
      fc.record({ type: fc.constant('led' as const), term }),
      fc.record({ type: fc.constant('lead-failed' as const), term, reason: fc.constant('x') }),
      fc.record({ type: fc.constant('handoff' as const), to: fc.constantFrom(OTHER.nodeId, address(3).nodeId) }),
      fc.record({
        type: fc.constant('drained' as const),
        term,
        successor: fc.constantFrom(undefined, OTHER.nodeId, address(3).nodeId),
        kept: fc.constantFrom('elsewhere' as const, 'alone' as const),
      }),
      fc.record({ type: fc.constant('stepped-down' as const), clean: fc.boolean() }),
      fc.record({ type: fc.constant('released' as const), view: fc.option(someView, { nil: undefined }) }),
    ),
    /** Whether to replace the event by the usual answer in that state. */
    fitting: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
  })

  test.each([
    [true, false],
    [true, true],
    [false, false],
  ])('candidate: %s, with a backup: %s', { timeout: 60_000 }, (candidate, hasBackup) => {
    let ledSteps = 0
    fc.assert(
      fc.property(fc.array(command, { minLength: 20, maxLength: 60, size: 'max' }), (commands) => {
        const node = new Node({ candidate, hasBackup })
        node.ms = 100_000
        let deadlineMs = -Infinity
        let leading = false
        let last: { view: LeaseView; sinceMs: number } | undefined
        let known = false
        let forced = false
        for (const { passMs, toWakeMs, unfit, newcomer, historyTerm, ledTerm, event: wild, fitting } of commands) {
          const wakeMs = wakeAtMs(node.state)
          if (toWakeMs === undefined || wakeMs === Infinity) node.ms += passMs
          else node.ms = Math.max(node.ms, wakeMs + toWakeMs)
          node.unfit = unfit
          Object.assign(node, { newcomer, historyTerm, ledTerm })
          const before = node.state
          let event: Event = 'sentAtMs' in wild ? { ...wild, sentAtMs: node.ms - wild.sentAtMs } : wild
          if (fitting) event = fittingAnswer(before, event, node.ms)
          const effects = node.on(event)
          if (event.type === 'force') forced = true
          const { state } = node

          if ('view' in event && event.view !== undefined && before.name !== 'stopped') {
            const taken = state.seen?.view === event.view
            if (taken) {
              const same = last !== undefined && sameText(last.view, event.view)
              last = { view: event.view, sinceMs: same ? (last?.sinceMs ?? 0) : node.ms }
            }
          }

          for (const effect of effects) {
            if (effect.kind === 'extend') {
              expect(effect.deadlineMs).toBeGreaterThan(node.ms)
              if (event.type !== 'acquired' && event.type !== 'renewed')
                expect.unreachable('the deadline moves without a write to the lease')
              expect(effect.deadlineMs).toBe(('sentAtMs' in event ? event.sentAtMs : 0) + TTL - 1_000)
              deadlineMs = effect.deadlineMs
            }
            if (effect.kind === 'lead') {
              expect(leading).toBe(false)
              expect(deadlineMs).toBeGreaterThan(node.ms)
              leading = true
            }
            if (effect.kind === 'step-down') {
              expect(leading).toBe(true)
              leading = false
            }
            if (effect.kind === 'follow' || effect.kind === 'idle' || effect.kind === 'acquire') {
              expect(leading).toBe(false)
            }
            if (effect.kind === 'acquire') {
              expect(candidate).toBe(true)
              expect(unfit).toBeUndefined()
              checkAcquire(node, last, known)
              if (!hasBackup && !forced) checkHistory(node, last?.view)
            }
          }
          if (state.seen !== undefined && state.seen.view.kind !== 'vacant') known = true
          // No event leaves a node leading past its deadline; without one, its timer is due by then.
          if (state.name === 'leading') {
            ledSteps++
            expect(node.ms).toBeLessThan(state.deadlineMs)
            expect(state.deadlineMs).toBe(deadlineMs)
            expect(wakeAtMs(state)).toBeLessThanOrEqual(state.deadlineMs)
          }
          expect(leading).toBe(state.name === 'leading')
        }
      }),
      { numRuns: 1_000 },
    )
    // Otherwise the runs would prove nothing.
    if (candidate) expect(ledSteps).toBeGreaterThan(2_000)
    else expect(ledSteps).toBe(0)
  })

  /** The usual next event in a state, so that runs get beyond the first state. */
  function fittingAnswer(state: State, wild: Event, ms: number): Event {
    const term = 'term' in state ? state.term : 1n
    if (state.name === 'acquiring')
      return { type: 'acquired', term: 5n, sentAtMs: ms - 10, view: held(SELF, { term: 5n }) }
    if (state.name === 'yielding') return { type: 'stepped-down', clean: true }
    if (state.name === 'releasing') return { type: 'released', view: undefined }
    if (state.name === 'leading' && state.renewing && wild.type === 'seen') {
      return { type: 'renewed', term, sentAtMs: ms - 10, view: held(SELF, { term }) }
    }
    if (state.name === 'standing-by' && wild.type !== 'seen') return { type: 'tick' }
    return 'term' in wild ? { ...wild, term } : wild
  }

  function sameText(a: LeaseView, b: LeaseView): boolean {
    const text = (view: LeaseView) => {
      if (view.kind !== 'record') return view.kind
      const { term, state, renewals, holder } = view.record
      return [String(term), state, renewals, holder.nodeId].join()
    }
    return text(a) === text(b)
  }

  /** No node acquires the lease while it lacks what another may have committed later. */
  function checkHistory({ ledTerm, historyTerm }: Node, view: LeaseView | undefined): void {
    if (view?.kind !== 'record') return
    const { state, term, holder, lastLeader } = view.record
    // The record is this node's at the same URL, or this node led in its term, at any URL.
    const isOwn = holder.nodeId === SELF.nodeId && (holder.url === SELF.url || ledTerm === term)
    if (state === 'held' && !isOwn) expect(historyTerm).toBeGreaterThanOrEqual(term)
    if (state !== 'released' || lastLeader === undefined) return
    if (lastLeader.holder.nodeId === SELF.nodeId && lastLeader.term === ledTerm) return
    expect(historyTerm).toBeGreaterThanOrEqual(lastLeader.term)
    expect(lastLeader.kept).not.toBe('alone')
  }

  function checkAcquire(node: Node, last: { view: LeaseView; sinceMs: number } | undefined, known: boolean): void {
    expect(last).toBeDefined()
    const { view, sinceMs } = last ?? { view: VACANT, sinceMs: 0 }
    expect(view.kind).not.toBe('foreign')
    // Thirds of a TTL do not add up exactly.
    const silentMs = node.ms - sinceMs + 1e-6
    if (view.kind !== 'record') {
      if (!node.newcomer || known) expect(silentMs).toBeGreaterThanOrEqual(TTL)
      return
    }
    const { record } = view
    if (record.state === 'released') {
      if (record.successor !== SELF.nodeId) expect(silentMs).toBeGreaterThanOrEqual(record.ttlMs)
    } else if (record.holder.nodeId !== SELF.nodeId || record.holder.url !== SELF.url) {
      expect(silentMs).toBeGreaterThanOrEqual(record.ttlMs)
    }
  }
})
