import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Effect, type Event, INITIAL, next, type Rules, type State, type StopSignal } from './machine.ts'

const ALONE: Rules = { commands: 0, exitOnError: true, terminal: false }
const ONE: Rules = { commands: 1, exitOnError: true, terminal: false }

const started: Event = { type: 'node-started' }
const failed: Event = { type: 'node-failed' }
const stopped: Event = { type: 'node-stopped', clean: true }
const timeout: Event = { type: 'timeout' }
const exit = (exitCode: number): Event => ({ type: 'app-exited', exitCode })
const signal = (name: StopSignal, atMs = 0): Event => ({ type: 'signal', signal: name, atMs })

/** Runs events from the initial state; returns the last state, and the effects of each event as short words. */
function run(rules: Rules, ...events: Event[]): { state: State; effects: string[][] } {
  let state = INITIAL
  const effects = events.map((event) => {
    const step = next(state, event, rules)
    state = step.state
    return step.effects.map(short)
  })
  return { state, effects }
}

function short(effect: Effect): string {
  if (effect.type === 'start-app') return `start ${effect.step}`
  return effect.type === 'signal-app' ? effect.signal : effect.type
}

test('the application starts when the node is ready, and its exit code becomes ltxd’s', () => {
  const { state, effects } = run(ONE, started, exit(3), stopped)
  expect(effects).toEqual([['start 0'], ['stop-node'], []])
  expect(state).toEqual({ name: 'exited', exitCode: 3 })
})

test('several commands run one after the other; one that fails is the last', () => {
  const rules = { ...ONE, commands: 3 }
  expect(run(rules, started, exit(0), exit(0), exit(0)).effects).toEqual([
    ['start 0'],
    ['start 1'],
    ['start 2'],
    ['stop-node'],
  ])
  expect(run(rules, started, exit(0), exit(9), stopped).state).toEqual({ name: 'exited', exitCode: 9 })
})

test('a node without an application stops at a signal and exits with 0', () => {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const { state, effects } = run(ALONE, started, signal(name), stopped)
    expect(effects).toEqual([[], ['stop-node'], []])
    expect(state).toEqual({ name: 'exited', exitCode: 0 })
  }
})

test('SIGTERM stops the application first, then the node', () => {
  const { state, effects } = run(ONE, started, signal('SIGTERM'), exit(0), stopped)
  expect(effects).toEqual([['start 0'], ['SIGTERM', 'arm-timer'], ['stop-node'], []])
  expect(state).toEqual({ name: 'exited', exitCode: 0 })
})

test('an application that does not stop gets a stronger signal each time', () => {
  const { effects, state } = run(ONE, started, signal('SIGINT'), timeout, timeout, exit(137), stopped)
  expect(effects.slice(1)).toEqual([
    ['SIGINT', 'arm-timer'],
    ['SIGTERM', 'arm-timer'],
    ['SIGKILL', 'arm-timer'],
    ['stop-node'],
    [],
  ])
  expect(state).toEqual({ name: 'exited', exitCode: 137 })
})

test('the node stops although the application hangs in the kernel even after SIGKILL', () => {
  const { effects } = run(ONE, started, signal('SIGTERM'), timeout, timeout)
  expect(effects.at(-1)).toEqual(['stop-node'])
})

test('a Ctrl-C that the terminal sends to both is not sent to the application again', () => {
  const { effects } = run({ ...ONE, terminal: true }, started, signal('SIGINT'))
  expect(effects.at(-1)).toEqual(['arm-timer'])
})

test('SIGHUP goes to the application and stops nothing', () => {
  const { state, effects } = run(ONE, started, signal('SIGHUP'))
  expect(effects.at(-1)).toEqual(['SIGHUP'])
  expect(state.name).toBe('running')
})

describe('a second request after a second forces', () => {
  test('the application', () => {
    const { effects } = run(ONE, started, signal('SIGINT'), signal('SIGINT', 1_000))
    expect(effects.at(-1)).toEqual(['SIGKILL', 'arm-timer'])
  })
  test('the node', () => {
    const { state, effects } = run(ALONE, started, signal('SIGINT'), signal('SIGINT', 1_000))
    expect(effects.at(-1)).toEqual(['abandon-node'])
    expect(state).toEqual({ name: 'exited', exitCode: 130 })
  })
  test('a start', () => {
    const { effects } = run(ONE, signal('SIGTERM'), signal('SIGTERM', 1_000))
    expect(effects).toEqual([['abort-start'], ['abandon-node']])
  })
})

describe('a second request within a second is the same request', () => {
  test('for the application, and for the node after it', () => {
    const events = [signal('SIGTERM'), signal('SIGTERM', 1), exit(0), signal('SIGTERM', 999), stopped]
    const { state, effects } = run(ONE, started, ...events)
    expect(effects).toEqual([['start 0'], ['SIGTERM', 'arm-timer'], [], ['stop-node'], [], []])
    expect(state).toEqual({ name: 'exited', exitCode: 0 })
  })
  test('for a node without an application', () => {
    const { state, effects } = run(ALONE, started, signal('SIGTERM'), signal('SIGTERM', 999), stopped)
    expect(effects).toEqual([[], ['stop-node'], [], []])
    expect(state).toEqual({ name: 'exited', exitCode: 0 })
  })
  test('for a start', () => {
    const { state, effects } = run(ALONE, signal('SIGTERM'), signal('SIGTERM', 999), started, signal('SIGTERM', 999))
    expect(effects).toEqual([['abort-start'], [], ['stop-node'], []])
    expect(state.name).toBe('stopping-node')
  })
  test('for a request that forces', () => {
    const events = [signal('SIGTERM'), signal('SIGTERM', 1_000), exit(137), signal('SIGTERM', 1_001)]
    const { effects } = run(ONE, started, ...events)
    expect(effects.slice(2)).toEqual([['SIGKILL', 'arm-timer'], ['stop-node'], []])
  })
  test('and does not put off the next one', () => {
    const { effects } = run(ALONE, started, signal('SIGTERM'), signal('SIGTERM', 900), signal('SIGTERM', 1_000))
    expect(effects.at(-1)).toEqual(['abandon-node'])
  })
})

test('the first request after the application has exited by itself lets the node stop cleanly', () => {
  const { effects } = run(ONE, started, exit(0), signal('SIGTERM', 5_000), signal('SIGTERM', 6_000))
  expect(effects.slice(1)).toEqual([['stop-node'], [], ['abandon-node']])
})

test('a signal during the start cancels it, and a node that starts all the same is stopped', () => {
  expect(run(ONE, signal('SIGTERM'), failed).state).toEqual({ name: 'exited', exitCode: 143 })
  expect(run(ALONE, signal('SIGTERM'), failed).state).toEqual({ name: 'exited', exitCode: 0 })
  expect(run(ONE, signal('SIGTERM'), started).effects.at(-1)).toEqual(['stop-node'])
})

test('a node that fails stops the application, and the exit code is 1', () => {
  const { state, effects } = run(ONE, started, failed, exit(0), stopped)
  expect(effects).toEqual([['start 0'], ['SIGTERM', 'arm-timer'], ['stop-node'], []])
  expect(state).toEqual({ name: 'exited', exitCode: 1 })
})

test('an unclean stop is a failure even when the application succeeded', () => {
  const unclean: Event = { type: 'node-stopped', clean: false }
  expect(run(ONE, started, exit(0), unclean).state).toEqual({ name: 'exited', exitCode: 1 })
})

test('with exit-on-error off, ltxd stays after a failure until a signal', () => {
  const rules = { ...ONE, exitOnError: false }
  expect(run(rules, failed).state).toEqual({ name: 'held', exitCode: 1 })
  expect(run(rules, started, exit(4), stopped).state).toEqual({ name: 'held', exitCode: 4 })
  expect(run(rules, started, exit(4), stopped, signal('SIGTERM')).state).toEqual({ name: 'exited', exitCode: 4 })
  expect(run(rules, started, exit(0), stopped).state).toEqual({ name: 'exited', exitCode: 0 })
})

test('after any sequence of events, requests a second apart end it, and the end is final', () => {
  const event = fc.oneof(
    fc.constantFrom(started, failed, stopped, timeout),
    fc.tuple(fc.constantFrom('SIGINT', 'SIGTERM', 'SIGHUP'), fc.nat(3_000)).map((args) => signal(...args)),
    fc.nat({ max: 255 }).map(exit),
  )
  const rules = fc.record({ commands: fc.nat({ max: 3 }), exitOnError: fc.boolean(), terminal: fc.boolean() })
  fc.assert(
    fc.property(rules, fc.array(event, { maxLength: 20 }), (with_, events) => {
      let state = run(with_, ...events).state
      for (let i = 4; i < 10; i++) state = next(state, signal('SIGTERM', i * 1_000), with_).state
      expect(state.name).toBe('exited')
      for (const last of [...events, started]) expect(next(state, last, with_)).toEqual({ state, effects: [] })
    }),
  )
})
