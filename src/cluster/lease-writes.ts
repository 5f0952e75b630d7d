import { randomBytes } from 'node:crypto'
import { MAX_TERM } from '../data/term.ts'
import { errorMessage } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { nowMs } from '../util/monotonic.ts'
import { type Candidacy, compare, type Comparison, encodeCandidacy, parseCandidacy } from './candidacy.ts'
import { ClusterMismatchError, UnreadableRecordError } from './lease/errors.ts'
import type { Leader, Lease, LeaseOutcome, LeaseRecord, LeaseView, NodeAddress } from './lease/lease.ts'
import { VACANT } from './role/election.ts'
import type { Effect, Event } from './role/role-events.ts'
import type { Previous } from './role/role-state.ts'
import type { Troubles } from './troubles.ts'

export interface LeaseWritesOptions {
  readonly lease: Lease
  readonly self: NodeAddress
  readonly readClusterId: () => string | undefined
  /** RoleHost.ledTerm. */
  readonly ledTerm: () => bigint
  readonly logger: Logger
  readonly troubles: Troubles
}

/** Where the record is gone: so many terms may have been led by nodes of which nothing is heard. None is led twice. */
export const UNHEARD_TERMS = 1_000n

/** This node's writes to the lease. None of them throws: every outcome is an event. */
export class LeaseWrites {
  readonly #options: LeaseWritesOptions
  /** The record that this node last wrote, or tried to write. */
  #held: LeaseRecord | undefined
  #previous: Previous | undefined
  /**
   * Makes every record of this process unique, so that a late answer is never mistaken for the answer to another write.
   */
  #writes = 0
  #highestTerm = 0n

  constructor(options: LeaseWritesOptions) {
    this.#options = options
  }

  /** The highest term of all records that this node has read or written. */
  get highestTerm(): bigint {
    return this.#highestTerm
  }

  /** The cluster id in the record that this node wrote. */
  get clusterId(): string | undefined {
    return this.#held?.clusterId
  }

  /** A record, or the sign, of another cluster counts as foreign: this node must neither follow it nor take it over. */
  judge(view: LeaseView): LeaseView {
    if (view.kind === 'foreign') return view
    const clusterId = view.kind === 'record' ? view.record.clusterId : (view.founded ?? '')
    const own = this.#options.readClusterId()
    if (own !== undefined && clusterId !== '' && clusterId !== own) {
      return { kind: 'foreign', error: new ClusterMismatchError(clusterId, own) }
    }
    if (view.kind === 'record' && view.record.term > this.#highestTerm) this.#highestTerm = view.record.term
    return view
  }

  /** `knownTerm`: the highest term known from other sources. */
  async acquire({ over, record: before, previous }: Effect & { kind: 'acquire' }, knownTerm: bigint): Promise<Event> {
    const { lease, self, readClusterId, troubles } = this.#options
    const known = [before?.term ?? 0n, this.#highestTerm, knownTerm].reduce((a, b) => (a > b ? a : b))
    const own = readClusterId()
    const record = this.#next(previous, {
      term: lease.chooseTerm(over === undefined && own !== undefined ? known + UNHEARD_TERMS : known),
      holder: self,
      state: 'held',
      clusterId: before?.clusterId || (own ?? randomBytes(8).toString('hex')),
      ttlMs: lease.ttlMs,
    })
    const sentAtMs = nowMs()
    try {
      if (record.term > MAX_TERM) throw new UnreadableRecordError('term: is too large')
      const outcome = await lease.acquire(record, over)
      troubles.over('write')
      if (outcome.kind === 'lost') return { type: 'not-acquired', view: this.judge(outcome.view) }
      this.#held = record
      this.#previous = previous
      this.#noteFounded(before, record, outcome)
      if (record.term > this.#highestTerm) this.#highestTerm = record.term
      return { type: 'acquired', term: record.term, sentAtMs, view: outcome.view }
    } catch (error) {
      troubles.began('write', errorMessage(error))
      return { type: 'acquire-failed', reason: errorMessage(error) }
    }
  }

  /** Publishes how far this node is. The event names the candidate that has most, if that is another. */
  async stand(
    of: string,
    position: Pick<Candidacy, 'historyTerm' | 'positions' | 'nodes' | 'witnessed' | 'isUnfit'>,
    knownTerm: bigint,
  ): Promise<Event> {
    const { lease, self, troubles } = this.#options
    const known = knownTerm > this.#highestTerm ? knownTerm : this.#highestTerm
    const own: Candidacy = { ...position, of, nodeId: self.nodeId, hostname: self.hostname, knownTerm: known }
    let found: Comparison = { ahead: [], absent: own.nodes, knownTerm: 0n }
    try {
      await lease.publish(self.nodeId, encodeCandidacy(own), of === VACANT ? 'vacant' : 'always')
      found = compare(own, (await lease.candidacies()).map(parseCandidacy).filter(isPresent))
      if (found.knownTerm > this.#highestTerm) this.#highestTerm = found.knownTerm
      troubles.over('election')
    } catch (error) {
      troubles.began('election', `the candidates cannot compare what they have: ${errorMessage(error)}`)
    }
    return { type: 'stood', of, ahead: found.ahead, absent: found.absent }
  }

  async renew(term: bigint): Promise<Event> {
    const { lease, troubles } = this.#options
    if (this.#held === undefined) throw new Error('there is no lease to renew')
    this.#held = this.#next(this.#previous, this.#held)
    const sentAtMs = nowMs()
    try {
      const outcome = await lease.renew(this.#held)
      troubles.over('write')
      this.#noteUnmarked(outcome)
      const view = this.judge(outcome.view)
      return outcome.kind === 'done' ? { type: 'renewed', term, sentAtMs, view } : { type: 'not-renewed', term, view }
    } catch (error) {
      troubles.began('write', errorMessage(error))
      return { type: 'renew-failed', term, reason: errorMessage(error) }
    }
  }

  async release({ successor, kept }: Effect & { kind: 'release' }): Promise<Event> {
    const { lease, logger } = this.#options
    let view: LeaseView | undefined
    try {
      if (this.#held === undefined) throw new Error('there is no lease to release')
      const record = this.#next(this.#previous, { ...this.#held, state: 'released' }, kept)
      const outcome = await lease.release(successor === undefined ? record : { ...record, successor })
      view = this.judge(outcome.view)
      const level = this.#options.troubles.has('lead') ? 'debug' : 'info'
      const message = successor === undefined ? 'released the lease' : 'released the lease for the successor'
      if (outcome.kind === 'done') logger[level]({ ...(successor && { peer: successor }) }, message)
    } catch (error) {
      logger.warn({ err: error }, 'could not release the lease: other nodes can acquire it after its TTL')
    }
    return { type: 'released', view }
  }

  #noteFounded(before: LeaseRecord | undefined, { clusterId }: LeaseRecord, outcome: LeaseOutcome): void {
    const { lease, readClusterId, logger } = this.#options
    if (before === undefined && readClusterId() === undefined && lease.type !== 'static') {
      logger.warn(
        { cluster: clusterId },
        'founded a new cluster, because the lease has no record and no node with data has shown. If there are nodes ' +
          'with data, stop this node, delete the key of the lease and what is below it, and start them. ' +
          '"lease.found: never" keeps this node from founding a cluster',
      )
    }
    this.#noteUnmarked(outcome)
  }

  /** Without the sign, the next node without data that finds the record gone founds another cluster after a while. */
  #noteUnmarked(outcome: LeaseOutcome): void {
    const err = outcome.kind === 'done' ? outcome.unmarked : undefined
    if (err === undefined) return
    const message = 'the lease could not be marked as founded: its token may not write below its key'
    this.#options.logger.warn({ err }, message)
  }

  /** A unique record, with the current knowledge about earlier leaders. */
  #next(
    previous: Previous | undefined,
    { term, holder, state, clusterId, ttlMs }: Omit<LeaseRecord, 'renewals'>,
    kept: Leader['kept'] = 'unknown',
  ): LeaseRecord {
    const lastLeader = this.#options.ledTerm() === term ? { term, holder, kept } : previous?.leader
    const leftMs = Math.ceil((previous?.uploadsMayRunUntilMs ?? 0) - nowMs())
    return {
      ...{ term, holder, state, clusterId, ttlMs, renewals: this.#writes++ },
      ...(lastLeader !== undefined && { lastLeader }),
      ...(leftMs > 0 && { uploadsMayRunMs: leftMs }),
    }
  }
}

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined
}
