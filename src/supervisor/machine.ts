/**
 * When the application starts and stops around a node, as a pure state machine. The rules:
 * the application runs only while the node serves; its exit stops the node and gives the exit code; a request to stop
 * stops the application first, harder each time the grace period passes, and then the node; a second request forces.
 */

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'
export type AppSignal = StopSignal | 'SIGKILL'

export type State =
  /** The node is coming up. */
  | { readonly name: 'starting' }
  /** Asked to stop while the node was coming up. */
  | { readonly name: 'cancelling'; readonly exitCode: number }
  /** Command number `step` runs; undefined: there is none to run. */
  | { readonly name: 'running'; readonly step: number | undefined }
  /** The application was told to end; `escalation` holds what it gets next. `exitCode` stands above its own. */
  | { readonly name: 'stopping-app'; readonly escalation: readonly AppSignal[]; readonly exitCode?: number }
  | { readonly name: 'stopping-node'; readonly exitCode: number }
  /** Something failed and `exit-on-error` is off: nothing runs, nothing is mounted, a signal ends it. */
  | { readonly name: 'held'; readonly exitCode: number }
  | { readonly name: 'exited'; readonly exitCode: number }

export type Event =
  | { readonly type: 'node-started' }
  /** It did not start, or it broke while it ran. */
  | { readonly type: 'node-failed' }
  | { readonly type: 'node-stopped'; readonly clean: boolean }
  | { readonly type: 'app-exited'; readonly exitCode: number }
  | { readonly type: 'signal'; readonly signal: StopSignal }
  /** The grace period is over. */
  | { readonly type: 'timeout' }

export type Effect =
  | { readonly type: 'abort-start' }
  | { readonly type: 'start-app'; readonly step: number }
  | { readonly type: 'signal-app'; readonly signal: AppSignal }
  | { readonly type: 'arm-timer' }
  | { readonly type: 'stop-node' }
  /** Leave at once, without waiting for anyone; the state's exit code holds where that can still be said. */
  | { readonly type: 'abandon-node' }

export interface Rules {
  /** How many commands there are to run, one after the other. */
  readonly commands: number
  readonly exitOnError: boolean
  /** A terminal sends Ctrl-C to the application too: passing it on would make it two. */
  readonly terminal: boolean
}

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
    // Nothing of what was asked for has run: only a node alone may call that a success.
    const exitCode = rules.commands > 0 ? exitCodeOf(event.signal) : 0
    return to({ name: 'cancelling', exitCode }, { type: 'abort-start' })
  },

  cancelling: (state, event) => {
    if (event.type === 'node-started') return stopNode(state.exitCode)
    if (event.type === 'node-failed') return to({ name: 'exited', exitCode: state.exitCode })
    return isRequest(event) ? abandon(state.exitCode || exitCodeOf(event.signal)) : to(state)
  },

  running: (state, event, rules) => {
    const { step } = state
    if (event.type === 'app-exited') {
      const more = event.exitCode === 0 && step !== undefined && step + 1 < rules.commands
      return more ? startApp(step + 1) : stopNode(event.exitCode)
    }
    if (event.type === 'node-failed') return step === undefined ? stopNode(1) : stopApp('SIGTERM', rules, 1)
    if (event.type !== 'signal') return to(state)
    if (step === undefined) return stopNode(0)
    // Programs reload on SIGHUP: whether it ends anything is theirs to say.
    if (event.signal === 'SIGHUP') return to(state, { type: 'signal-app', signal: 'SIGHUP' })
    return stopApp(event.signal, rules)
  },

  'stopping-app': (state, event) => {
    if (event.type === 'app-exited') return stopNode(state.exitCode ?? event.exitCode)
    if (event.type === 'node-failed') return to({ ...state, exitCode: 1 })
    const [signal, ...escalation] = state.escalation
    if (event.type === 'timeout') {
      // Not even SIGKILL ended it: it hangs in the kernel, maybe on the mount itself, whose end will free it.
      if (signal === undefined) return stopNode(state.exitCode ?? exitCodeOf('SIGKILL'))
      return to({ ...state, escalation }, { type: 'signal-app', signal }, { type: 'arm-timer' })
    }
    if (!isRequest(event)) return to(state)
    if (signal === undefined) return abandon(state.exitCode ?? exitCodeOf(event.signal))
    return to({ ...state, escalation: [] }, { type: 'signal-app', signal: 'SIGKILL' }, { type: 'arm-timer' })
  },

  'stopping-node': (state, event, rules) => {
    if (event.type === 'node-stopped') return to(ended(event.clean ? state.exitCode : state.exitCode || 1, rules))
    return isRequest(event) ? abandon(state.exitCode || exitCodeOf(event.signal)) : to(state)
  },

  held: (state, event) => to(event.type === 'signal' ? { name: 'exited', exitCode: state.exitCode } : state),

  exited: (state) => to(state),
}

export function next(state: State, event: Event, rules: Rules): Step {
  const handler = handlers[state.name] as On<State['name']>
  return handler(state, event, rules)
}

/** As shells count it: 128 and the signal's number. */
function exitCodeOf(signal: AppSignal): number {
  return 128 + SIGNAL_NUMBERS[signal]
}

function to(state: State, ...effects: Effect[]): Step {
  return { state, effects }
}

function startApp(step: number): Step {
  return to({ name: 'running', step }, { type: 'start-app', step })
}

function stopApp(signal: 'SIGINT' | 'SIGTERM', rules: Rules, exitCode?: number): Step {
  const escalation: AppSignal[] = signal === 'SIGINT' ? ['SIGTERM', 'SIGKILL'] : ['SIGKILL']
  const had = signal === 'SIGINT' && rules.terminal
  return to(
    { name: 'stopping-app', escalation, ...(exitCode === undefined ? {} : { exitCode }) },
    ...(had ? [] : [{ type: 'signal-app', signal } as const]),
    { type: 'arm-timer' },
  )
}

function stopNode(exitCode: number): Step {
  return to({ name: 'stopping-node', exitCode }, { type: 'stop-node' })
}

function abandon(exitCode: number): Step {
  return to({ name: 'exited', exitCode }, { type: 'abandon-node' })
}

function ended(exitCode: number, rules: Rules): State {
  return { name: exitCode === 0 || rules.exitOnError ? 'exited' : 'held', exitCode }
}

function isRequest(event: Event): event is Event & { type: 'signal'; signal: 'SIGINT' | 'SIGTERM' } {
  return event.type === 'signal' && event.signal !== 'SIGHUP'
}
