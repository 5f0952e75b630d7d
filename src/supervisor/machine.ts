/**
 * When the application starts and stops around a node, as a pure state machine:
 *
 * * The application runs only while the node serves. Its exit stops the node, and its exit code becomes ltxd's.
 * * SIGTERM or SIGINT stops the application first, with a stronger signal each time the grace period passes, then the
 *   node.
 * * A second SIGTERM or SIGINT, at least a second after the one before, forces the step that is under way. An earlier
 *   one is the same request: supervisors and timeout(1) signal the process and its group, a terminal its foreground
 *   group.
 */

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'
export type AppSignal = StopSignal | 'SIGKILL'

/** When the last request to stop arrived; -Infinity before the first. */
interface Requested {
  readonly requestedAtMs: number
}

export type State =
  | { readonly name: 'starting' }
  /** A stop was requested while the node started. */
  | ({ readonly name: 'cancelling'; readonly exitCode: number } & Requested)
  /** Command number `step` runs; undefined when there are no commands. */
  | { readonly name: 'running'; readonly step: number | undefined }
  /** The application was signalled. `escalation`: the signals that follow. `exitCode` takes precedence over its own. */
  | ({
      readonly name: 'stopping-app'
      readonly escalation: readonly AppSignal[]
      readonly exitCode?: number
    } & Requested)
  | ({ readonly name: 'stopping-node'; readonly exitCode: number } & Requested)
  /** Something failed and `exit-on-error` is off: nothing runs, nothing is mounted, a signal ends ltxd. */
  | { readonly name: 'held'; readonly exitCode: number }
  | { readonly name: 'exited'; readonly exitCode: number }

export type Event =
  | { readonly type: 'node-started' }
  /** The node did not start, or failed while it ran. */
  | { readonly type: 'node-failed' }
  | { readonly type: 'node-stopped'; readonly clean: boolean }
  | { readonly type: 'app-exited'; readonly exitCode: number }
  /** `atMs` is on the monotonic clock. */
  | { readonly type: 'signal'; readonly signal: StopSignal; readonly atMs: number }
  /** The grace period is over. */
  | { readonly type: 'timeout' }

type StopRequest = Event & { type: 'signal'; signal: 'SIGINT' | 'SIGTERM' }

export type Effect =
  | { readonly type: 'abort-start' }
  | { readonly type: 'start-app'; readonly step: number }
  | { readonly type: 'signal-app'; readonly signal: AppSignal }
  | { readonly type: 'arm-timer' }
  | { readonly type: 'stop-node' }
  /** Leave at once, without waiting for anything. The process then usually dies of SIGKILL instead of the exit code. */
  | { readonly type: 'abandon-node' }

export interface Rules {
  /** The number of commands to run, one after the other. */
  readonly commands: number
  readonly exitOnError: boolean
  /** The terminal itself sends Ctrl-C to the application: ltxd must not send SIGINT again. */
  readonly terminal: boolean
}

/** A request this soon after the one before is the same request. */
export const REPEAT_MS = 1_000

export interface Step {
  readonly state: State
  readonly effects: readonly Effect[]
}

export const INITIAL: State = { name: 'starting' }

const SIGNAL_NUMBERS: Readonly<Record<AppSignal, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }

type On<N extends State['name']> = (state: Extract<State, { name: N }>, event: Event, rules: Rules) => Step

const handlers: { readonly [N in State['name']]: On<N> } = {
  starting: (state, event, rules) => {
    if (event.type === 'node-started') {
      return rules.commands > 0 ? startApp(0) : to({ name: 'running', step: undefined })
    }
    if (event.type === 'node-failed') return to(ended(1, rules))
    if (event.type !== 'signal') return to(state)
    // With commands, a cancelled start is no success: none of them has run.
    const exitCode = rules.commands > 0 ? exitCodeOf(event.signal) : 0
    return to({ name: 'cancelling', exitCode, requestedAtMs: event.atMs }, { type: 'abort-start' })
  },

  cancelling: (state, event) => {
    if (event.type === 'node-started') return stopNode(state.exitCode, state.requestedAtMs)
    if (event.type === 'node-failed') return to({ name: 'exited', exitCode: state.exitCode })
    return isImpatient(state, event) ? abandon(state.exitCode || exitCodeOf(event.signal)) : to(state)
  },

  running: (state, event, rules) => {
    const { step } = state
    if (event.type === 'app-exited') {
      const more = event.exitCode === 0 && step !== undefined && step + 1 < rules.commands
      return more ? startApp(step + 1) : stopNode(event.exitCode)
    }
    if (event.type === 'node-failed') return step === undefined ? stopNode(1) : stopApp('SIGTERM', rules, -Infinity, 1)
    if (event.type !== 'signal') return to(state)
    if (step === undefined) return stopNode(0, event.atMs)
    // Many programs reload on SIGHUP instead of ending.
    if (event.signal === 'SIGHUP') return to(state, { type: 'signal-app', signal: 'SIGHUP' })
    return stopApp(event.signal, rules, event.atMs)
  },

  'stopping-app': (state, event) => {
    const { requestedAtMs } = state
    if (event.type === 'app-exited') return stopNode(state.exitCode ?? event.exitCode, requestedAtMs)
    if (event.type === 'node-failed') return to({ ...state, exitCode: 1 })
    const [signal, ...escalation] = state.escalation
    if (event.type === 'timeout') {
      // SIGKILL did not end the application: it hangs in the kernel, perhaps on the mount, whose end frees it.
      if (signal === undefined) return stopNode(state.exitCode ?? exitCodeOf('SIGKILL'), requestedAtMs)
      return to({ ...state, escalation }, { type: 'signal-app', signal }, { type: 'arm-timer' })
    }
    if (!isImpatient(state, event)) return to(withRequest(state, event))
    if (signal === undefined) return abandon(state.exitCode ?? exitCodeOf(event.signal))
    const killed = { ...withRequest(state, event), escalation: [] }
    return to(killed, { type: 'signal-app', signal: 'SIGKILL' }, { type: 'arm-timer' })
  },

  'stopping-node': (state, event, rules) => {
    if (event.type === 'node-stopped') return to(ended(event.clean ? state.exitCode : state.exitCode || 1, rules))
    if (!isImpatient(state, event)) return to(withRequest(state, event))
    return abandon(state.exitCode || exitCodeOf(event.signal))
  },

  held: (state, event) => to(event.type === 'signal' ? { name: 'exited', exitCode: state.exitCode } : state),

  exited: (state) => to(state),
}

export function next(state: State, event: Event, rules: Rules): Step {
  const handler = handlers[state.name] as On<State['name']>
  return handler(state, event, rules)
}

/** The exit code that shells use: 128 plus the signal's number. */
function exitCodeOf(signal: AppSignal): number {
  return 128 + SIGNAL_NUMBERS[signal]
}

function to(state: State, ...effects: Effect[]): Step {
  return { state, effects }
}

function startApp(step: number): Step {
  return to({ name: 'running', step }, { type: 'start-app', step })
}

function stopApp(signal: 'SIGINT' | 'SIGTERM', rules: Rules, requestedAtMs: number, exitCode?: number): Step {
  const escalation: AppSignal[] = signal === 'SIGINT' ? ['SIGTERM', 'SIGKILL'] : ['SIGKILL']
  const isDelivered = signal === 'SIGINT' && rules.terminal
  return to(
    { name: 'stopping-app', escalation, requestedAtMs, ...(exitCode === undefined ? {} : { exitCode }) },
    ...(isDelivered ? [] : [{ type: 'signal-app', signal } as const]),
    { type: 'arm-timer' },
  )
}

function stopNode(exitCode: number, requestedAtMs = -Infinity): Step {
  return to({ name: 'stopping-node', exitCode, requestedAtMs }, { type: 'stop-node' })
}

function abandon(exitCode: number): Step {
  return to({ name: 'exited', exitCode }, { type: 'abandon-node' })
}

function ended(exitCode: number, rules: Rules): State {
  return { name: exitCode === 0 || rules.exitOnError ? 'exited' : 'held', exitCode }
}

function isRequest(event: Event): event is StopRequest {
  return event.type === 'signal' && event.signal !== 'SIGHUP'
}

/** A repeated request, unlike the first one and its duplicates. */
function isImpatient({ requestedAtMs }: Requested, event: Event): event is StopRequest {
  return isRequest(event) && requestedAtMs !== -Infinity && event.atMs - requestedAtMs >= REPEAT_MS
}

/** Duplicates do not move the time of the request: a program that signals without pause still gets its way. */
function withRequest<S extends Requested>(state: S, event: Event): S {
  const counts = isRequest(event) && !(event.atMs - state.requestedAtMs < REPEAT_MS)
  return counts ? { ...state, requestedAtMs: event.atMs } : state
}
