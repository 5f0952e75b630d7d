import { errorMessage, type LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { nowMs } from '../util/monotonic.ts'
import { HostCalls } from './host-calls.ts'
import type { Effect, Event } from './role/role-events.ts'
import type { Drained, RoleHost } from './role-host.ts'
import type { Troubles } from './troubles.ts'

export interface RoleCallsOptions {
  readonly host: RoleHost
  /** Others may lead. */
  readonly isLeased: boolean
  /** Before this node leads for the first time: the cluster of the lease is its own from then on. */
  readonly joinCluster: () => void
  readonly happened: (event: Event) => void
  /** A role was taken, or, with an error, none that this node could have. */
  readonly settled: (error?: LtxdError) => void
  readonly drainFailed: (reason: string) => void
  readonly troubles: Troubles
  readonly logger: Logger
}

/** What a node is told to be, and what came of that: every outcome is an event. */
export class RoleCalls {
  readonly #options: RoleCallsOptions
  readonly #calls = new HostCalls()

  constructor(options: RoleCallsOptions) {
    this.#options = options
  }

  follow({ primary, term }: Effect & { kind: 'follow' }): void {
    const { host, logger } = this.#options
    const fields = { primary: primary.url, hostname: primary.hostname, ...(term > 0n && { term: String(term) }) }
    logger.info(fields, `following ${primary.hostname}`)
    this.#tell(() => host.follow(primary, term))
  }

  /** `error`: what was found where the lease is. */
  idle({ reason }: Effect & { kind: 'idle' }, error: LtxdError | undefined): void {
    const { host, troubles, logger } = this.#options
    if (error === undefined) logger.info({ reason }, 'no primary to follow')
    else troubles.began('record', error.message)
    this.#tell(() => host.idle(reason), error)
  }

  lead({ term, previous }: Effect & { kind: 'lead' }): void {
    const { host, joinCluster, troubles, logger, settled, happened } = this.#options
    const startedMs = nowMs()
    this.#calls.push(async (signal) => {
      try {
        signal.throwIfAborted()
        joinCluster()
        await host.lead(term, signal, previous)
        signal.throwIfAborted()
        logger.info({ term: String(term), tookMs: Math.round(nowMs() - startedMs) }, `primary in term ${term}`)
        troubles.over('lead')
        settled()
        happened({ type: 'led', term })
      } catch (error) {
        const reason = `could not take over: ${errorMessage(error)}`
        if (!signal.aborted) troubles.began('lead', reason)
        happened({ type: 'lead-failed', term, reason })
      }
    })
  }

  drain({ term, to }: Effect & { kind: 'drain' }): void {
    const { host, isLeased, logger, drainFailed, happened } = this.#options
    this.#calls.push(async (signal) => {
      let drained: Drained = { kept: 'alone' }
      try {
        signal.throwIfAborted()
        drained = await host.drain(signal, to)
      } catch (error) {
        if (!signal.aborted) logger.warn({ error: errorMessage(error) }, 'not everything is in the backup')
        drainFailed(errorMessage(error))
      }
      if (drained.kept === 'alone' && isLeased && to === undefined && !signal.aborted) {
        logger.warn(
          'no other node is known to have everything that was committed here: ' +
            'without a backup none of them leads before this one is back, except by "ltxd promote --force"',
        )
      }
      happened({ type: 'drained', term, ...drained })
    })
  }

  /** `isLost`: others have the lease, or may have it. */
  stepDown({ reason }: Effect & { kind: 'step-down' }, isLost: boolean): void {
    const { host, troubles, logger, happened } = this.#options
    // Where it could not take over, that has been said.
    const level = isLost ? 'warn' : troubles.has('lead') ? 'debug' : 'info'
    logger[level]({ reason }, isLost ? 'lost the lease' : 'no longer the primary')
    this.#calls.push(async () => {
      let clean = true
      try {
        await host.stepDown(reason)
      } catch (error) {
        clean = false
        // Its deadline is what is left.
        host.extend(0n)
        logger.error({ error: errorMessage(error) }, 'stepping down failed')
      }
      happened({ type: 'stepped-down', clean })
    })
  }

  /** Ends a `lead` or `drain` that is under way. */
  abort(): void {
    this.#calls.abort('the lease is gone, or the node stops')
  }

  finished(): Promise<void> {
    return this.#calls.finished()
  }

  #tell(call: () => Promise<void>, error?: LtxdError): void {
    const { troubles, settled, happened } = this.#options
    const run = async () => {
      try {
        await call()
        troubles.over('role')
        settled(error)
      } catch (failure) {
        troubles.began('role', errorMessage(failure))
        happened({ type: 'not-told' })
      }
    }
    this.#calls.push(run, { overtaken: true })
  }
}
