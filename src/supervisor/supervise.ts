/** Carries out what the state machine decides: signals in, a node and a program started and stopped, an exit code out. */

import { errorMessage } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { joinWords } from '../util/words.ts'
import { type Application, type ApplicationExit, startApplication } from './application.ts'
import { type Effect, type Event, INITIAL, next, type Rules, type State, type StopSignal } from './machine.ts'

/** What is supervised: a running node. */
export interface Supervised {
  readonly mountDir: string
  /** Resolves when the node has ended, rejects when something broke it. */
  readonly closed: Promise<void>
  stop(): Promise<void>
}

export interface SuperviseOptions {
  /** Starts the node; rejects when it cannot, or when `signal` says to give up. */
  readonly start: (signal: AbortSignal) => Promise<Supervised>
  /** Leaves at once, with whatever exit code, without waiting for anyone. */
  readonly abandon: () => void
  /** Programs to run one after the other. */
  readonly commands: readonly { readonly argv: readonly string[] }[]
  readonly exitOnError: boolean
  readonly stopTimeoutMs: number
  readonly terminal: boolean
  readonly logger: Logger
}

const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/**
 * Runs until everything has ended; resolves with the exit code. A start that fails is thrown, unless `exitOnError` is
 * off: then it is logged, and a signal is waited for.
 */
export async function supervise(options: SuperviseOptions): Promise<number> {
  const { logger } = options
  const rules: Rules = {
    commands: options.commands.length,
    exitOnError: options.exitOnError,
    terminal: options.terminal,
  }
  let finish: (exitCode: number) => void = () => undefined
  let reject: (error: unknown) => void = () => undefined
  const over = new Promise<number>((resolve, fail) => {
    finish = resolve
    reject = fail
  })
  const starting = new AbortController()
  let state: State = INITIAL
  let node: Supervised | undefined
  let app: Application | undefined
  let timer: NodeJS.Timeout | undefined
  let startError: unknown

  const handle = (event: Event): void => {
    const before = state
    const step = next(state, event, rules)
    state = step.state
    logger.trace({ event: event.type, from: before.name, to: state.name }, 'supervisor')
    for (const effect of step.effects) perform(effect)
    if (state.name === 'held' && before.name !== 'held') {
      logger.warn('staying because exit-on-error is off: nothing is mounted; a signal ends this')
    }
    if (state.name !== 'exited' || before.name === 'exited') return
    clearTimeout(timer)
    if (startError !== undefined && before.name === 'starting') reject(startError)
    else finish(state.exitCode)
  }

  const perform = (effect: Effect): void => {
    switch (effect.type) {
      case 'abort-start':
        return starting.abort()
      case 'start-app':
        return startApp(effect.step)
      case 'signal-app':
        logger.info({ signal: effect.signal, pid: app?.pid }, 'passing a signal to the application')
        return app?.signal(effect.signal)
      case 'arm-timer':
        clearTimeout(timer)
        timer = setTimeout(handle, options.stopTimeoutMs, { type: 'timeout' })
        return
      case 'stop-node':
        clearTimeout(timer)
        return void stopNode()
      case 'abandon-node':
        logger.warn('leaving at once: the mount is detached without a clean stop')
        return options.abandon()
    }
  }

  const startApp = (index: number): void => {
    const argv = options.commands[index]?.argv ?? []
    const environment = { ...process.env, LTXD_MOUNT: node?.mountDir }
    app = startApplication(argv, environment, (exit) => {
      clearTimeout(timer)
      logExit(logger, app?.pid, argv, exit)
      handle({ type: 'app-exited', exitCode: exit.exitCode })
    })
    if (app.pid !== undefined) logger.info({ pid: app.pid, command: joinWords(argv) }, 'application started')
  }

  const stopNode = async (): Promise<void> => {
    try {
      await node?.stop()
      handle({ type: 'node-stopped', clean: true })
    } catch (error) {
      logger.error({ err: error }, 'the node did not stop cleanly')
      handle({ type: 'node-stopped', clean: false })
    }
  }

  const onSignal = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, 'signal received')
    handle({ type: 'signal', signal: signal as StopSignal })
  }

  const failed = (error: unknown): void => {
    if (state.name === 'running' || state.name === 'stopping-app') logger.fatal({ err: error }, 'the node failed')
    handle({ type: 'node-failed' })
  }

  for (const signal of SIGNALS) process.on(signal, onSignal)
  // Waiting for a signal alone does not keep a process alive.
  const alive = setInterval(() => undefined, 2 ** 30)
  try {
    options.start(starting.signal).then(
      (started) => {
        node = started
        started.closed.then(() => failed(new Error('the mount was removed from outside')), failed)
        handle({ type: 'node-started' })
      },
      (error: unknown) => {
        startError = error
        if (!options.exitOnError) logger.error({ err: error }, errorMessage(error))
        handle({ type: 'node-failed' })
      },
    )
    return await over
  } finally {
    clearInterval(alive)
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}

function logExit(logger: Logger, pid: number | undefined, argv: readonly string[], exit: ApplicationExit): void {
  const { error, exitCode, signal } = exit
  if (error === undefined) logger.info({ pid, exitCode, signal }, 'application exited')
  else logger.error({ command: joinWords(argv), reason: error.message }, 'the application cannot be started')
}
