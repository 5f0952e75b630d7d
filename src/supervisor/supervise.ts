/**
 * Executes the decisions of the state machine: signals in, a node and a program started and stopped, an exit code out.
 */

import { applicationEnvironment } from '../util/environment.ts'
import { errorMessage } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { nowMs } from '../util/monotonic.ts'
import { joinWords } from '../util/words.ts'
import { type Application, type ApplicationExit, startApplication } from './application.ts'
import { type Effect, type Event, INITIAL, next, type Rules, type State, type StopSignal } from './machine.ts'

/** A running node, under supervision. */
export interface Supervised {
  readonly mountDir: string
  readonly nodeId: string
  /** Resolves when the node has ended, rejects when it failed. */
  readonly closed: Promise<void>
  /** Rejects when it did not stop cleanly, or left transactions that are nowhere else. */
  stop(withinMs: number): Promise<void>
}

export interface SuperviseOptions {
  /** Starts the node; rejects when it cannot start, or when `signal` is aborted. */
  readonly start: (signal: AbortSignal) => Promise<Supervised>
  /** Ends the process at once, without waiting for anything. */
  readonly abandon: () => void
  /** Programs to run one after the other. */
  readonly commands: readonly { readonly argv: readonly string[] }[]
  readonly exitOnError: boolean
  /** For the whole stop. A third of it is the time between two signals to the application. */
  readonly stopTimeoutMs: number
  readonly terminal: boolean
  readonly logger: Logger
}

const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/**
 * Runs until everything has ended; resolves with the exit code. Rejects when the start fails. With `exitOnError` off,
 * the failure is logged instead, and a signal ends the wait.
 */
export async function supervise(options: SuperviseOptions): Promise<number> {
  const supervisor = new Supervisor(options)
  const onSignal = (signal: NodeJS.Signals): void => supervisor.signal(signal as StopSignal)
  for (const signal of SIGNALS) process.on(signal, onSignal)
  // A signal handler alone does not hold the process open.
  const alive = setInterval(() => undefined, 2 ** 30)
  try {
    return await supervisor.run()
  } finally {
    clearInterval(alive)
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}

class Supervisor {
  readonly #options: SuperviseOptions
  readonly #rules: Rules
  readonly #starting = new AbortController()
  readonly #over: Promise<number>
  #finish: (exitCode: number) => void = () => undefined
  #reject: (error: unknown) => void = () => undefined
  #logger: Logger
  #state: State = INITIAL
  #node: Supervised | undefined
  #app: Application | undefined
  #timer: NodeJS.Timeout | undefined
  #startError: unknown

  constructor(options: SuperviseOptions) {
    const { commands, exitOnError, terminal, logger } = options
    this.#options = options
    this.#rules = { commands: commands.length, exitOnError, terminal }
    this.#logger = logger
    this.#over = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#reject = reject
    })
  }

  run(): Promise<number> {
    this.#options.start(this.#starting.signal).then(
      (node) => this.#started(node),
      (error: unknown) => this.#notStarted(error),
    )
    return this.#over
  }

  signal(signal: StopSignal): void {
    this.#logger.info({ signal }, 'signal received')
    this.#handle({ type: 'signal', signal, atMs: nowMs() })
  }

  #handle(event: Event): void {
    const before = this.#state
    const { state, effects } = next(before, event, this.#rules)
    this.#state = state
    this.#logger.trace({ event: event.type, from: before.name, to: state.name }, 'supervisor')
    for (const effect of effects) this.#perform(effect)
    if (state.name === 'held' && before.name !== 'held') {
      this.#logger.warn('staying because exit-on-error is off: nothing is mounted; send a signal to end ltxd')
    }
    if (state.name !== 'exited' || before.name === 'exited') return
    clearTimeout(this.#timer)
    if (this.#startError !== undefined && before.name === 'starting') this.#reject(this.#startError)
    else this.#finish(state.exitCode)
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'abort-start':
        return this.#starting.abort()
      case 'start-app':
        return this.#startApp(effect.step)
      case 'signal-app':
        this.#logger.info({ signal: effect.signal, process: this.#app?.pid }, 'sending a signal to the application')
        return this.#app?.signal(effect.signal)
      case 'arm-timer':
        clearTimeout(this.#timer)
        this.#timer = setTimeout(() => this.#handle({ type: 'timeout' }), this.#options.stopTimeoutMs / 3)
        return
      case 'stop-node':
        clearTimeout(this.#timer)
        return void this.#stopNode()
      case 'abandon-node':
        this.#logger.warn('leaving at once: the mount is detached without a clean stop')
        return this.#options.abandon()
    }
  }

  #started(node: Supervised): void {
    this.#node = node
    this.#logger = this.#options.logger.child({ node: node.nodeId })
    const failed = (error: unknown) => this.#failed(error)
    node.closed.then(() => failed(new Error('the mount was removed from outside')), failed)
    this.#handle({ type: 'node-started' })
  }

  #notStarted(error: unknown): void {
    this.#startError = error
    if (!this.#options.exitOnError) this.#logger.error({ err: error }, errorMessage(error))
    this.#handle({ type: 'node-failed' })
  }

  #failed(error: unknown): void {
    const { name } = this.#state
    if (name === 'running' || name === 'stopping-app') this.#logger.fatal({ err: error }, 'the node failed')
    this.#handle({ type: 'node-failed' })
  }

  #startApp(index: number): void {
    const argv = this.#options.commands[index]?.argv ?? []
    const app = startApplication(argv, applicationEnvironment(this.#node?.mountDir), (exit) => {
      clearTimeout(this.#timer)
      this.#logExit(argv, exit)
      this.#handle({ type: 'app-exited', exitCode: exit.exitCode })
    })
    this.#app = app
    if (app.pid !== undefined) {
      this.#logger.info({ process: app.pid, command: joinWords(argv) }, 'application started')
    }
  }

  #logExit(argv: readonly string[], { error, exitCode, signal }: ApplicationExit): void {
    const command = joinWords(argv)
    if (error !== undefined) this.#logger.error({ command, err: error }, 'the application cannot be started')
    else this.#logger.info({ process: this.#app?.pid, exitCode, signal }, 'application exited')
  }

  /** What is left of the time for the stop, at least a third of it. */
  #leftMs(): number {
    const { stopTimeoutMs } = this.#options
    const requestedAtMs = 'requestedAtMs' in this.#state ? this.#state.requestedAtMs : -Infinity
    const spentMs = requestedAtMs === -Infinity ? 0 : nowMs() - requestedAtMs
    return Math.max(stopTimeoutMs / 3, stopTimeoutMs - spentMs)
  }

  async #stopNode(): Promise<void> {
    try {
      await this.#node?.stop(this.#leftMs())
      this.#handle({ type: 'node-stopped', clean: true })
    } catch (error) {
      this.#logger.error({ err: error }, 'the node did not stop cleanly')
      this.#handle({ type: 'node-stopped', clean: false })
    }
  }
}
