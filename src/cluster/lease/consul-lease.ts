import { setTimeout as pause } from 'node:timers/promises'
import { LtxdError } from '../../util/errors.ts'
import { UnknownFormatError } from '../../util/format-number.ts'
import { ConsulClient, type ConsulItem, isDenied, type KvOperation } from './consul-client.ts'
import {
  besides,
  candidaciesKey,
  clusterOf,
  create,
  foundedKey,
  type Plan,
  release,
  takeOver,
  update,
} from './consul-operations.ts'
import { ForeignRecordError, LeaseUnavailableError } from './errors.ts'
import {
  encodeRecord,
  type Lease,
  type LeaseOutcome,
  type LeaseRecord,
  type LeaseVersion,
  type LeaseView,
  type LeaseWatcher,
  parseRecord,
} from './lease.ts'

export interface ConsulLeaseOptions {
  /** `http://[:TOKEN@]HOST[:PORT][/PREFIX]`: the path is a prefix of the key, as in litefs.yml. */
  readonly url: string
  readonly key: string
  readonly ttlMs: number
  /** The session's name in Consul's own user interface. */
  readonly sessionName: string
  readonly random?: () => number
}

/** The first attempt may find a changed index, the second an ended session, the third a changed sign. */
const MAX_ATTEMPTS = 4
/** A blocking read on a missing key wakes at unrelated writes. */
const MIN_PAUSE_MS = 100
const MAX_PAUSE_MS = 5_000
/** Consul adds up to a sixteenth to the wait of a blocking read. */
const READ_GRACE_MS = 2_000

/**
 * The lease as a key in Consul. Every write is a transaction that checks the key against this node's last reading, so a
 * write that arrives late, or races another one, changes nothing. Sessions and locks are informative; the record
 * decides.
 */
export class ConsulLease implements Lease {
  readonly type = 'consul'
  readonly ttlMs: number
  readonly #client: ConsulClient
  readonly #key: string
  readonly #place: string
  readonly #sessionName: string
  readonly #random: () => number
  readonly #requestTimeoutMs: number
  readonly #closing = new AbortController()
  #session: string | undefined
  /** The key as this node last wrote or read it. */
  #last: ConsulItem | undefined
  #refreshing = new AbortController()
  #watching: Promise<void> = Promise.resolve()

  constructor(options: ConsulLeaseOptions) {
    const prefix = decodeURIComponent(new URL(options.url).pathname).replace(/^\/+|\/+$/g, '')
    this.#client = new ConsulClient(options.url)
    this.#key = prefix === '' ? options.key : `${prefix}/${options.key}`
    this.#place = `key ${this.#key} in ${this.#client.name}`
    this.#sessionName = options.sessionName
    this.#random = options.random ?? Math.random
    this.ttlMs = options.ttlMs
    // Two requests, a write and the read that checks it, fit between two renewals and the deadline.
    this.#requestTimeoutMs = Math.min(options.ttlMs / 4, 5_000)
  }

  chooseTerm(highest: bigint): bigint {
    return highest + 1n
  }

  watch(watcher: LeaseWatcher): void {
    this.#watching = this.#watch(watcher)
  }

  refresh(): void {
    this.#refreshing.abort()
    this.#refreshing = new AbortController()
  }

  acquire(record: LeaseRecord, over: LeaseVersion | undefined): Promise<LeaseOutcome> {
    const before =
      over === undefined ? undefined : { modifyIndex: Number(over), value: Buffer.alloc(0), session: undefined }
    return this.#write(record, before, (item, session, value) => {
      if (item?.modifyIndex !== before?.modifyIndex) return undefined
      return item === undefined ? create(session, value) : takeOver(item, session, value)
    })
  }

  renew(record: LeaseRecord): Promise<LeaseOutcome> {
    return this.#write(record, this.#last, (item, session, value) => {
      // The key was removed. Until this node's deadline no other node can hold the lease.
      if (item === undefined) return create(session, value)
      if (!isSameHolding(this.#view(item), record)) return undefined
      return item.session === session ? update(item, session, value) : takeOver(item, session, value)
    })
  }

  async release(record: LeaseRecord): Promise<LeaseOutcome> {
    try {
      return await this.#write(record, this.#last, (item, session, value) => {
        if (item === undefined || !isSameHolding(this.#view(item), record)) return undefined
        return release(item, session, value)
      })
    } finally {
      await this.#endSession()
    }
  }

  async publish(nodeId: string, candidacy: Uint8Array, when: 'vacant' | 'always'): Promise<void> {
    const Value = Buffer.from(candidacy).toString('base64')
    const checks: KvOperation[] = when === 'vacant' ? [{ Verb: 'check-not-exists', Key: this.#key }] : []
    const own = `${candidaciesKey(this.#key)}${nodeId}`
    await this.#client.transact(own, [...checks, { Verb: 'set', Value }], this.#request())
  }

  async candidacies(): Promise<readonly Uint8Array[]> {
    const said = await this.#client.list(candidaciesKey(this.#key), this.#request())
    return said.map(({ value }) => value)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.refresh()
    await this.#watching
    await this.#endSession()
    this.#client.close()
  }

  /**
   * Writes `record` as `plan` says for the key's state; undefined means that the lease is not this node's. After any
   * failure the key is read, because a write whose answer was lost may have succeeded.
   */
  async #write(
    record: LeaseRecord,
    before: ConsulItem | undefined,
    plan: (item: ConsulItem | undefined, session: string, value: string) => Plan | undefined,
  ): Promise<LeaseOutcome> {
    const bytes = encodeRecord(record)
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const session = await this.#openSession()
      const planned = plan(before, session, bytes.toString('base64'))
      if (planned === undefined) return { kind: 'lost', view: this.#view(before) }
      const written = await this.#transact(record, planned).catch(asFailure)
      if ('modifyIndex' in written) {
        const { modifyIndex, unmarked } = written
        const locked = planned.operations.some(({ Verb }) => Verb === 'lock')
        return this.#done({ value: bytes, modifyIndex, session: locked ? session : undefined }, unmarked)
      }
      const { item } = await this.#client.read(this.#key, this.#request())
      if (item?.value.equals(bytes) === true) return this.#done(item)
      if (plan(item, session, '') === undefined) return { kind: 'lost', view: this.#view(item) }
      this.#last = item
      if ('failure' in written) throw written.failure
      if (item === undefined && written.founded !== undefined)
        return { kind: 'lost', view: { kind: 'vacant', heard: true, founded: written.founded } }
      // The index has not changed, but the write failed: the session has ended, or the sign below the key has changed.
      if (item?.modifyIndex === before?.modifyIndex) await this.#endSession()
      before = item
    }
    throw new LeaseUnavailableError(`${this.#place} could not be written: other clients write to it continually`)
  }

  /** One transaction. A token without the right to write below the key makes the record without a sign beside it. */
  async #transact(record: LeaseRecord, { kind, operations }: Plan): Promise<Written | NotWritten> {
    if (kind === 'update') return this.#send(operations)
    try {
      const { item: founded } = await this.#client.read(foundedKey(this.#key), this.#request())
      const more = besides(this.#key, kind, record, founded)
      if (more === undefined) return { founded: clusterOf(founded?.value) }
      return await this.#send([...more, ...operations])
    } catch (error) {
      if (!(error instanceof LtxdError) || !isDenied(error)) throw error
      const written = await this.#send(operations)
      return 'modifyIndex' in written ? { ...written, unmarked: error } : written
    }
  }

  async #send(operations: readonly KvOperation[]): Promise<Written | NotWritten> {
    const modifyIndex = await this.#client.transact(this.#key, operations, this.#request())
    return modifyIndex === undefined ? { founded: undefined } : { modifyIndex }
  }

  #done(item: ConsulItem, unmarked?: LtxdError): LeaseOutcome {
    this.#last = item
    return { kind: 'done', view: this.#view(item), ...(unmarked && { unmarked }) }
  }

  /** What is beside the missing record. Without the right to look: nothing. */
  async #vacant(): Promise<LeaseView> {
    const below = await this.#client.list(`${this.#key}/`, this.#request()).catch((error: unknown) => {
      if (isDenied(error)) return []
      throw error
    })
    const founded = clusterOf(below.find(({ key }) => key === foundedKey(this.#key))?.value)
    return { kind: 'vacant', heard: below.length > 0, ...(founded !== undefined && { founded }) }
  }

  async #watch(watcher: LeaseWatcher): Promise<void> {
    let index = '0'
    let failures = 0
    // Initially different from any reading.
    let before: number | null | undefined = null
    while (!this.#closing.signal.aborted) {
      const { signal } = this.#refreshing
      const since = performance.now()
      try {
        const waitMs = Math.ceil(Math.min(Math.max(this.ttlMs, 1_000), 10_000))
        const timeoutMs = index === '0' ? this.#requestTimeoutMs : waitMs * 1.0625 + READ_GRACE_MS
        const reading = await this.#client.read(this.#key, { index, waitMs, timeoutMs, signal })
        const { item } = reading
        if (item?.modifyIndex === before) await this.#pause(MIN_PAUSE_MS - (performance.now() - since), signal)
        before = item?.modifyIndex
        // After a reset of Consul, waiting for the old index would never end.
        index = Number(reading.index) < Number(index) ? '0' : reading.index
        failures = 0
        watcher.seen(item === undefined ? await this.#vacant() : this.#view(item))
        if (index === '0') await this.#pause(1_000, signal)
      } catch (error) {
        index = '0'
        if (signal.aborted) continue
        watcher.failed(error instanceof LtxdError ? error : new LeaseUnavailableError(String(error), { cause: error }))
        const longest = Math.min(MIN_PAUSE_MS * 2 ** failures++, MAX_PAUSE_MS, this.ttlMs / 4)
        await this.#pause(longest * (0.5 + this.#random() / 2), signal)
      }
    }
  }

  /** Ends early at `refresh` and `close`. */
  async #pause(ms: number, signal: AbortSignal = this.#closing.signal): Promise<void> {
    if (ms > 0) await pause(ms, undefined, { signal: AbortSignal.any([signal, this.#closing.signal]) }).catch(() => {})
  }

  #view(item: ConsulItem | undefined): LeaseView {
    if (item === undefined) return { kind: 'vacant' }
    try {
      return { kind: 'record', record: parseRecord(item.value, this.#place), version: versionOf(item) }
    } catch (error) {
      if (error instanceof ForeignRecordError || error instanceof UnknownFormatError) return { kind: 'foreign', error }
      throw error
    }
  }

  /** Writing the key does not renew the session, so each write also sends a renewal, without waiting for it. */
  async #openSession(): Promise<string> {
    const id = this.#session
    if (id === undefined) return (this.#session = await this.#client.createSession(this.#sessionName, this.#request()))
    this.#client.renewSession(id, this.#request()).catch(() => {})
    return id
  }

  async #endSession(): Promise<void> {
    const id = this.#session
    this.#session = undefined
    if (id !== undefined) await this.#client.destroySession(id, this.#request()).catch(() => {})
  }

  #request(): { timeoutMs: number } {
    return { timeoutMs: this.#requestTimeoutMs }
  }
}

interface Written {
  readonly modifyIndex: number
  /** The record was written without the sign beside it, for this reason. */
  readonly unmarked?: LtxdError
}

/** `founded`: the sign of this cluster was in the way. */
interface NotWritten {
  readonly founded: string | undefined
}

/** The error of a transaction, which may have succeeded nevertheless. */
function asFailure(failure: unknown): { readonly failure: unknown } {
  return { failure }
}

function versionOf({ modifyIndex }: ConsulItem): LeaseVersion {
  return String(modifyIndex)
}

/** The same node in the same term. */
function isSameHolding(view: LeaseView, { term, holder }: LeaseRecord): boolean {
  if (view.kind !== 'record') return false
  const { record } = view
  return record.state === 'held' && record.term === term && record.holder.nodeId === holder.nodeId
}
