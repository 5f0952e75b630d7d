import { errorMessage, type LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { ClusterMismatchError, HandoffError } from './errors.ts'
import { Handoff } from './handoff.ts'
import { HostCalls } from './host-calls.ts'
import type { Leader, Lease, NodeAddress } from './lease.ts'
import { LeaseWrites } from './lease-writes.ts'
import { nowMs, toNs } from './monotonic.ts'
import type { Drained, MembershipStatus, RoleHost } from './role-host.ts'
import type { Effect, Event } from './role-events.ts'
import { INITIAL, type Rules, type State } from './role-state.ts'
import { next, wakeAtMs } from './role.ts'
import { Troubles } from './troubles.ts'

export type { MembershipStatus, RoleHost } from './role-host.ts'

export interface MembershipOptions {
  readonly lease: Lease
  readonly host: RoleHost
  readonly self: NodeAddress
  readonly candidate: boolean
  /** How long after a handoff, or after it failed to take over, this node leaves the lease to others. */
  readonly demoteMs: number
  /** How long after a holder's deadline an upload of its may still take effect. */
  readonly uploadWindowMs: number
  /** What others committed and this node never got, `lead` takes from there. */
  readonly hasBackup: boolean
  /** In the data directory. */
  readonly readClusterId: () => string | undefined
  readonly writeClusterId: (id: string) => void
  readonly logger: Logger
}

const MAX_TIMER_MS = 2 ** 31 - 1

/** Runs the role (role.ts) of a node against a lease: what happens becomes events, effects become calls. */
export class Membership {
  /** A role was taken for the first time. Rejects with CLUSTER_MISMATCH where this node belongs to another cluster. */
  readonly settled: Promise<void>
  readonly #options: MembershipOptions
  readonly #rules: Rules
  readonly #calls = new HostCalls()
  readonly #troubles: Troubles
  readonly #stopped: Promise<void>
  #resolveStopped: () => void = () => {}
  #settle: { resolve: () => void; reject: (error: Error) => void } = { resolve: () => {}, reject: () => {} }
  #state: State = INITIAL
  #timer: NodeJS.Timeout | undefined
  #handoff: Handoff | undefined
  /** Operations on the lease, one after the other. */
  #operations: Promise<void> = Promise.resolve()
  readonly #writes: LeaseWrites

  constructor(options: MembershipOptions) {
    const { lease, host, self, candidate, demoteMs, uploadWindowMs, hasBackup, readClusterId, logger } = options
    const marginMs = lease.ttlMs === Infinity ? 0 : lease.ttlMs / 10
    this.#options = options
    this.#rules = { self, candidate, ttlMs: lease.ttlMs, marginMs, demoteMs, uploadWindowMs, hasBackup }
    this.#troubles = new Troubles(logger, nowMs)
    const ledTerm = () => host.ledTerm()
    this.#writes = new LeaseWrites({ lease, self, readClusterId, ledTerm, logger, troubles: this.#troubles })
    this.#stopped = new Promise((resolve) => (this.#resolveStopped = resolve))
    this.settled = new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
    this.settled.catch(() => {})
  }

  start(): void {
    this.#options.lease.watch({
      seen: (view) => {
        this.#troubles.over('read')
        const judged = this.#writes.judge(view)
        if (judged.kind !== 'foreign') this.#troubles.over('record')
        this.#dispatch({ type: 'seen', view: judged })
      },
      failed: (error) => {
        this.#troubles.began('read', error.message)
        this.#dispatch({ type: 'unreachable', reason: error.message })
      },
    })
  }

  status(): MembershipStatus {
    const { lease, candidate, self } = this.#options
    const state = this.#state
    const clusterId = this.#options.readClusterId()
    const lastError = this.#troubles.last
    const common = {
      type: lease.type,
      candidate,
      ...(clusterId === undefined ? {} : { clusterId }),
      ...(lastError === undefined ? {} : { lastError }),
    }
    if (state.name === 'leading' && state.phase !== 'taking-over') {
      const left = Number.isFinite(state.deadlineMs) ? { deadlineMs: Math.max(0, state.deadlineMs - nowMs()) } : {}
      return { ...common, role: 'primary', term: state.term, primary: self, ...left }
    }
    const told = 'told' in state ? state.told : undefined
    if (told?.kind === 'follow') return { ...common, role: 'replica', term: told.term, primary: told.primary }
    return { ...common, role: 'idle', term: this.#writes.highestTerm }
  }

  /** As primary: drain, release for `nodeId`, become its replica. Throws LtxdError. */
  async handoff(nodeId: string): Promise<void> {
    const { lease } = this.#options
    const refused = this.#refuseHandoff(nodeId)
    if (refused !== undefined) throw new HandoffError('HANDOFF_REFUSED', refused)
    const handoff = (this.#handoff = new Handoff(nodeId, lease.ttlMs))
    this.#dispatch({ type: 'handoff', to: nodeId })
    try {
      await handoff.decided
    } finally {
      this.#handoff = undefined
    }
  }

  /** From now on this node waits for nobody who led after all that it has. */
  force(): void {
    const state = this.#state
    if (state.name === 'standing-by' && state.missing !== undefined) {
      const { holder, term } = state.missing
      this.#options.logger.warn(
        { hostname: holder.hostname, term: String(term) },
        `leading on request without what ${holder.hostname} committed in term ${term}: it is set aside there when that node returns`,
      )
    }
    this.#dispatch({ type: 'force' })
  }

  /** Clean end: drain, release, no role. */
  async stop(): Promise<void> {
    this.#dispatch({ type: 'stop' })
    await this.#stopped
  }

  #refuseHandoff(nodeId: string): string | undefined {
    const { lease, self } = this.#options
    if (lease.type === 'static') return 'the primary is fixed by configuration (lease.type: static): change it there'
    if (this.#handoff !== undefined) return `a handoff to ${this.#handoff.to} is under way`
    const state = this.#state
    if (state.name !== 'leading' || state.phase !== 'serving') return 'this node is not the primary: ask the primary'
    return nodeId === self.nodeId ? 'this node is the primary already' : undefined
  }

  #dispatch(event: Event): void {
    const before = this.#state
    const { host, readClusterId } = this.#options
    const judged = before.name !== 'leading' && before.name !== 'stopped'
    const { state, effects } = next(before, event, this.#rules, {
      ms: nowMs(),
      unfit: judged ? host.unfit() : undefined,
      newcomer: judged && readClusterId() === undefined && host.knownTerm() === 0n,
      knownTerm: host.knownTerm(),
      ledTerm: host.ledTerm(),
      historyTerm: host.historyTerm(),
    })
    this.#state = state
    for (const effect of effects) this.#carryOut(effect)
    this.#handoff?.see(state, event)
    this.#armTimer()
  }

  #armTimer(): void {
    clearTimeout(this.#timer)
    const atMs = wakeAtMs(this.#state)
    if (atMs === Infinity) return
    const delayMs = Math.min(Math.max(Math.ceil(atMs - nowMs()), 0), MAX_TIMER_MS)
    this.#timer = setTimeout(() => this.#dispatch({ type: 'tick' }), delayMs)
  }

  #carryOut(effect: Effect): void {
    const { host, logger } = this.#options
    switch (effect.kind) {
      case 'follow': {
        const { primary, term } = effect
        const fields = { primary: primary.url, hostname: primary.hostname, ...(term > 0n && { term: String(term) }) }
        logger.info(fields, `following ${primary.hostname}`)
        return this.#tell(() => host.follow(primary, term))
      }
      case 'idle': {
        const { seen } = this.#state
        const error = seen?.view.kind === 'foreign' ? seen.view.error : undefined
        if (error === undefined) logger.info({ reason: effect.reason }, 'no primary to follow')
        else this.#troubles.began('record', error.message)
        return this.#tell(() => host.idle(effect.reason), error)
      }
      case 'acquire':
        return this.#write(() => this.#writes.acquire(effect, host.knownTerm()))
      case 'renew':
        return this.#write(() => this.#renew())
      case 'release':
        return this.#write(() => this.#writes.release(effect))
      case 'extend':
        return host.extend(toNs(effect.deadlineMs))
      case 'lead':
        return this.#lead(effect)
      case 'drain':
        return this.#drain(effect.term, effect.to)
      case 'fence':
        return host.extend(0n)
      case 'abort':
        return this.#calls.abort('the lease is gone, or the node stops')
      case 'step-down':
        return this.#stepDown(effect.reason)
      case 'misses':
        return effect.leader === undefined
          ? this.#troubles.over('history')
          : this.#troubles.began('history', waitingFor(effect.leader))
      case 'close':
        clearTimeout(this.#timer)
        return void this.#close()
    }
  }

  #tell(call: () => Promise<void>, error?: LtxdError): void {
    const run = async () => {
      try {
        await call()
        this.#troubles.over('role')
        if (error instanceof ClusterMismatchError) this.#settle.reject(error)
        else this.#settle.resolve()
      } catch (failure) {
        this.#troubles.began('role', errorMessage(failure))
        this.#dispatch({ type: 'not-told' })
      }
    }
    this.#calls.push(run, { overtaken: true })
  }

  #lead({ term, previous }: Effect & { kind: 'lead' }): void {
    const { host, logger, readClusterId, writeClusterId } = this.#options
    const startedMs = nowMs()
    this.#calls.push(async (signal) => {
      try {
        signal.throwIfAborted()
        const clusterId = this.#writes.clusterId
        if (clusterId !== undefined && readClusterId() !== clusterId) writeClusterId(clusterId)
        await host.lead(term, signal, previous)
        signal.throwIfAborted()
        logger.info({ term: String(term), tookMs: Math.round(nowMs() - startedMs) }, `primary in term ${term}`)
        this.#troubles.over('lead')
        this.#settle.resolve()
        this.#dispatch({ type: 'led', term })
      } catch (error) {
        const reason = errorMessage(error)
        if (!signal.aborted) this.#troubles.began('lead', `could not take over: ${reason}`)
        this.#dispatch({ type: 'lead-failed', term, reason: `could not take over: ${reason}` })
      }
    })
  }

  #drain(term: bigint, to: string | undefined): void {
    const { host, logger } = this.#options
    this.#calls.push(async (signal) => {
      let drained: Drained = { kept: 'alone' }
      try {
        signal.throwIfAborted()
        drained = await host.drain(signal, to)
      } catch (error) {
        if (!signal.aborted) logger.warn({ error: errorMessage(error) }, 'not everything is in the backup')
        this.#handoff?.drainFailed(errorMessage(error))
      }
      if (drained.kept === 'alone' && this.#options.lease.type !== 'static') {
        logger.warn(
          'no other node is known to have everything that was committed here: ' +
            'without a backup none of them leads before this one is back, except by "ltxd promote --force"',
        )
      }
      this.#dispatch({ type: 'drained', term, ...drained })
    })
  }

  #stepDown(reason: string): void {
    const { host, lease, logger } = this.#options
    const lost = this.#state.name === 'yielding' && this.#state.release === undefined
    // Where it could not take over, that has been said.
    const level = lost ? 'warn' : this.#troubles.has('lead') ? 'debug' : 'info'
    logger[level]({ reason }, lost ? 'lost the lease' : 'no longer the primary')
    if (lost) lease.refresh()
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
      this.#dispatch({ type: 'stepped-down', clean })
    })
  }

  #write(write: () => Promise<Event | undefined>): void {
    this.#operations = this.#operations.then(async () => {
      const outcome = await write()
      if (outcome === undefined) return
      this.#dispatch(outcome)
      if (outcome.type === 'acquire-failed') this.#options.lease.refresh()
    })
  }

  /** Not where the lease was lost while other writes went first. */
  async #renew(): Promise<Event | undefined> {
    return this.#state.name === 'leading' ? this.#writes.renew(this.#state.term) : undefined
  }

  async #close(): Promise<void> {
    await this.#options.lease.close()
    await this.#calls.finished()
    this.#settle.resolve()
    this.#resolveStopped()
  }
}

function waitingFor({ holder: { hostname }, term, kept }: Leader): string {
  const what = kept === 'alone' ? 'committed what no other node is known to have' : 'led after all that this node has'
  return (
    `${hostname} ${what} (term ${term}): this node does not lead. Start ${hostname}, or a replica that had everything from it. ` +
    `"ltxd promote --force" leads without that; it is then set aside when ${hostname} returns`
  )
}
