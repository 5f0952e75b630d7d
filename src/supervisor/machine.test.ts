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
const signal = (name: StopSignal): Event => ({ type: 'signal', signal: name })

/** Runs events from the start; returns the last state, and the effects of each event as short words. */
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

test('the application starts when the node is ready, and its exit code is the daemon’s', () => {
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

test('a node alone stops at a signal and has succeeded', () => {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const { state, effects } = run(ALONE, started, signal(name), stopped)
    expect(effects).toEqual([[], ['stop-node'], []])
    expect(state).toEqual({ name: 'exited', exitCode: 0 })
  }
})

test('at SIGTERM the application goes first, then the node', () => {
  const { state, effects } = run(ONE, started, signal('SIGTERM'), exit(0), stopped)
  expect(effects).toEqual([['start 0'], ['SIGTERM', 'arm-timer'], ['stop-node'], []])
  expect(state).toEqual({ name: 'exited', exitCode: 0 })
})

test('an application that does not stop is told harder each time', () => {
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

test('one that hangs in the kernel even after SIGKILL does not keep the node from stopping', () => {
  const { effects } = run(ONE, started, signal('SIGTERM'), timeout, timeout)
  expect(effects.at(-1)).toEqual(['stop-node'])
})

test('a Ctrl-C that the terminal has sent to both is not sent to the application again', () => {
  const { effects } = run({ ...ONE, terminal: true }, started, signal('SIGINT'))
  expect(effects.at(-1)).toEqual(['arm-timer'])
})

test('SIGHUP is the application’s to understand', () => {
  const { state, effects } = run(ONE, started, signal('SIGHUP'))
  expect(effects.at(-1)).toEqual(['SIGHUP'])
  expect(state.name).toBe('running')
})

describe('a second request forces', () => {
  test('the application', () => {
    expect(run(ONE, started, signal('SIGINT'), signal('SIGINT')).effects.at(-1)).toEqual(['SIGKILL', 'arm-timer'])
  })
  test('the node', () => {
    const { state, effects } = run(ALONE, started, signal('SIGINT'), signal('SIGINT'))
    expect(effects.at(-1)).toEqual(['abandon-node'])
    expect(state).toEqual({ name: 'exited', exitCode: 130 })
  })
  test('a start', () => {
    expect(run(ONE, signal('SIGTERM'), signal('SIGTERM')).effects).toEqual([['abort-start'], ['abandon-node']])
  })
})

test('a signal during the start gives it up, and what came up all the same is stopped', () => {
  expect(run(ONE, signal('SIGTERM'), failed).state).toEqual({ name: 'exited', exitCode: 143 })
  expect(run(ALONE, signal('SIGTERM'), failed).state).toEqual({ name: 'exited', exitCode: 0 })
  expect(run(ONE, signal('SIGTERM'), started).effects.at(-1)).toEqual(['stop-node'])
})

test('a node that breaks takes the application with it and is a failure', () => {
  const { state, effects } = run(ONE, started, failed, exit(0), stopped)
  expect(effects).toEqual([['start 0'], ['SIGTERM', 'arm-timer'], ['stop-node'], []])
  expect(state).toEqual({ name: 'exited', exitCode: 1 })
})

test('an unclean stop is a failure even where the application succeeded', () => {
  const unclean: Event = { type: 'node-stopped', clean: false }
  expect(run(ONE, started, exit(0), unclean).state).toEqual({ name: 'exited', exitCode: 1 })
})

test('with exit-on-error off a failure holds until a signal', () => {
  const rules = { ...ONE, exitOnError: false }
  expect(run(rules, failed).state).toEqual({ name: 'held', exitCode: 1 })
  expect(run(rules, started, exit(4), stopped).state).toEqual({ name: 'held', exitCode: 4 })
  expect(run(rules, started, exit(4), stopped, signal('SIGTERM')).state).toEqual({ name: 'exited', exitCode: 4 })
  expect(run(rules, started, exit(0), stopped).state).toEqual({ name: 'exited', exitCode: 0 })
})

test('whatever happens in whatever order, it ends, and nothing follows the end', () => {
  const event = fc.oneof(
    fc.constantFrom(started, failed, stopped, timeout),
    fc.constantFrom('SIGINT', 'SIGTERM', 'SIGHUP').map((name) => signal(name)),
    fc.nat({ max: 255 }).map(exit),
  )
  const rules = fc.record({ commands: fc.nat({ max: 3 }), exitOnError: fc.boolean(), terminal: fc.boolean() })
  fc.assert(
    fc.property(rules, fc.array(event, { maxLength: 20 }), (with_, events) => {
      let state = run(with_, ...events).state
      // Signals without end are enough to end it from anywhere.
      for (let i = 0; i < 6; i++) state = next(state, signal('SIGTERM'), with_).state
      expect(state.name).toBe('exited')
      for (const last of [...events, started]) expect(next(state, last, with_)).toEqual({ state, effects: [] })
    }),
  )
})
