import { errorMessage, type LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { nowMs } from '../util/monotonic.ts'
import type { Positions } from './candidacy.ts'
import { HostCalls } from './host-calls.ts'
import type { Effect, Event } from './role/role-events.ts'
import type { Drained, RoleHost } from './role-host.ts'
import type { Troubles } from './troubles.ts'

export interface RoleCallsOptions {
  readonly host: RoleHost
  /** Other nodes may lead. */
  readonly isLeased: boolean
  /** Called before this node leads: it belongs to the lease's cluster from then on. */
  readonly joinCluster: () => void
  readonly happened: (event: Event) => void
  /** The node has taken a role or, with an error, cannot take one. */
  readonly roleTaken: (error?: LtxdError) => void
  readonly drainFailed: (reason: string) => void
  readonly troubles: Troubles
  readonly logger: Logger
}

/** The calls to the role host. None of them throws: every outcome is an event. */
export class RoleCalls {
  readonly #options: RoleCallsOptions
  readonly #calls = new HostCalls()

  constructor(options: RoleCallsOptions) {
    this.#options = options
  }

  follow({ primary, term }: Effect & { kind: 'follow' }): void {
    const { host, logger } = this.#options
    const { nodeId: peer, hostname, url } = primary
    logger.info({ peer, host: hostname, url, ...(term > 0n && { term: String(term) }) }, 'following the primary')
    this.#assign(() => host.follow(primary, term))
  }

  /** `error`: the problem with the lease's record. */
  idle({ reason }: Effect & { kind: 'idle' }, error: LtxdError | undefined): void {
    const { host, troubles, logger } = this.#options
    if (error === undefined) logger.info({ reason }, 'no primary to follow')
    else troubles.began('record', error.message)
    this.#assign(() => host.idle(reason), error)
  }

  lead({ term, previous }: Effect & { kind: 'lead' }): void {
    const { host, joinCluster, troubles, logger, roleTaken, happened } = this.#options
    const startedMs = nowMs()
    this.#calls.push(async (signal) => {
      try {
        signal.throwIfAborted()
        joinCluster()
        await host.lead(term, signal, previous)
        signal.throwIfAborted()
        logger.info({ term: String(term), durationMs: Math.round(nowMs() - startedMs) }, 'this node is the primary')
        troubles.over('lead')
        roleTaken()
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
        if (!signal.aborted) logger.warn({ err: error }, 'not every transaction is in the backup')
        drainFailed(errorMessage(error))
      }
      if (drained.kept === 'alone' && isLeased && to === undefined && !signal.aborted) {
        logger.warn(
          'no other node is known to have everything that was committed here: without a backup, none leads until this ' +
            'node is back, except by "ltxd promote --force"',
        )
      }
      happened({ type: 'drained', term, ...drained })
    })
  }

  /** `stood`: publishes how far this node is. */
  stand({ of }: Effect & { kind: 'stand' }, stood: (positions: Positions) => void): void {
    const { host, troubles, roleTaken, happened } = this.#options
    this.#calls.push(async () => {
      try {
        const positions = await host.stand()
        roleTaken()
        stood(positions)
      } catch (error) {
        troubles.began('role', errorMessage(error))
        happened({ type: 'stood', of, ahead: [], absent: host.knownNodes() })
      }
    })
  }

  leave(): void {
    const { host, logger, happened } = this.#options
    this.#calls.push(async (signal) => {
      let left = { told: false, safe: false }
      try {
        if (!signal.aborted) left = await host.leave(signal)
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: error }, 'the stop of this node could not be announced')
      }
      happened({ type: 'left', ...left })
    })
  }

  /** `isLost`: another node has the lease, or may acquire it. */
  stepDown({ reason }: Effect & { kind: 'step-down' }, isLost: boolean): void {
    const { host, troubles, logger, happened } = this.#options
    // A failed take-over has been logged already.
    const level = isLost ? 'warn' : troubles.has('lead') ? 'debug' : 'info'
    logger[level]({ reason }, isLost ? 'lost the lease' : 'no longer the primary')
    this.#calls.push(async () => {
      let clean = true
      try {
        await host.stepDown(reason)
      } catch (error) {
        clean = false
        // Only the deadline can still end the lead.
        host.extend(0n)
        logger.error({ err: error }, 'stepping down failed: the lease is not released before its deadline')
      }
      happened({ type: 'stepped-down', clean })
    })
  }

  /** Aborts a running `lead` or `drain`. */
  abort(): void {
    this.#calls.abort('the lease is lost, or the node stops')
  }

  finished(): Promise<void> {
    return this.#calls.finished()
  }

  #assign(call: () => Promise<void>, error?: LtxdError): void {
    const { troubles, roleTaken, happened } = this.#options
    const run = async () => {
      try {
        await call()
        troubles.over('role')
        roleTaken(error)
      } catch (failure) {
        troubles.began('role', errorMessage(failure))
        happened({ type: 'assignment-failed' })
      }
    }
    this.#calls.push(run, { isReplaceable: true })
  }
}
