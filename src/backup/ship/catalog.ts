import type { Metadata, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../../objectstore/objectstore.ts'
import type { Clock } from '../../util/clock.ts'
import { type BackupFile, type BackupHistory, historyOf, loadHistory } from '../history/history.ts'
import { databasePrefix, parseKey } from '../history/layout.ts'
import { isReplaced, timePrecisionMs } from '../history/measure.ts'
import { recent } from '../history/recent.ts'
import type { CopyInProgress, LocalCopies } from './local-copies.ts'
import { NotedStore, type StoreNotes } from './noted-store.ts'

/** A listing, and the objects that are not as they were when they were last seen, until `examined`. */
export interface Listed {
  readonly history: BackupHistory
  readonly changed: readonly BackupFile[]
}

/** Its ETag is that of a listing. */
interface Known extends ObjectInfo {
  readonly metadata?: Metadata
  /** What the answer to this node's put has named. */
  readonly putTag?: string | undefined
}

/** What happened while a listing was read, which may have passed it already. */
interface Meanwhile {
  readonly stored: Map<string, Known>
  readonly gone: Set<string>
}

/** How many uploads pay for a page of a listing: one costs as much as one. */
const UPLOADS_A_PAGE = 100
const KEYS_A_PAGE = 1000
/** After this many intervals a listing is made that fewer uploads pay for. */
const MAX_INTERVALS = 12
/** More objects of one database are forgotten before the next listing, which may fail for long. */
const MAX_KNOWN = 10_000

/**
 * What a node knows of its backup without asking: what it has listed, put and deleted since. By that it recognizes
 * objects that were replaced. Where requests cost something, upkeep asks it instead of the store. It holds what merges
 * and the plan of the newest state need, not whole histories.
 */
export class Catalog implements StoreNotes {
  readonly #source: ObjectStore
  readonly #clock: Clock
  readonly #copies: LocalCopies | undefined
  readonly #copiedLevels: number
  readonly #databases = new Map<string, Map<string, Known>>()
  readonly #changed = new Map<string, BackupFile>()
  readonly #listing = new Set<Meanwhile>()
  /** The store lists objects under the ETags that it names in its answers to puts: not every one does. */
  #listsPutTags = false
  /** A store that shows no time is not asked again, because that may take a request. */
  #hasClock = true
  #uploads = 0
  #pages = 1
  /** A node that never runs for long applies retention too. */
  #listedAtMs = -Infinity
  /** Whether requests cost something: then listings are rare. */
  readonly isSparing: boolean
  /** The store, of whose changes the catalog takes note. */
  readonly store: ObjectStore
  /** The same; what this node has put, or knows, is read on this node. */
  readonly local: ObjectStore

  /** Objects of the levels below `copiedLevels` are compacted from their copies. 0: others look after the backup. */
  constructor(source: ObjectStore, clock: Clock, copies?: LocalCopies, copiedLevels = 0) {
    this.#source = source
    this.#clock = clock
    this.#copies = copies
    this.#copiedLevels = copiedLevels
    this.isSparing = source.layout === 's3' && copiedLevels > 0
    this.store = new NotedStore(source, this, { isLocal: false })
    this.local = this.isSparing ? new NotedStore(source, this, { isLocal: true }) : this.store
  }

  /** The end of each level, the newest plan, and all markers; everything where listings cost nothing. */
  async recent(database: string, signal?: AbortSignal): Promise<BackupHistory> {
    const known = this.#databases.get(database)
    if (known === undefined || !this.isSparing) return this.load(database, signal)
    return historyOf(this.#source.layout, database, known.values())
  }

  /** Lists the database. */
  async load(database: string, signal?: AbortSignal): Promise<BackupHistory> {
    if (!this.isSparing) return loadHistory(this.#source, database, signal)
    return (await this.loadOne(database, signal)).history
  }

  /** As `load`, and compares what is listed with what was known. */
  async loadOne(database: string, signal?: AbortSignal): Promise<Listed> {
    const listed = await this.#list(databasePrefix(database), signal)
    return this.#take(database, historyOf(this.#source.layout, database, listed.values()), listed)
  }

  /** Whether to list all databases: something has happened that a listing may concern, and it is paid for. */
  isDue(intervalMs: number, isNeeded: boolean): boolean {
    if (!this.isSparing) return false
    const sinceMs = this.#clock.monotonicMs() - this.#listedAtMs
    if (sinceMs < intervalMs || (this.#uploads === 0 && !isNeeded)) return false
    return this.#uploads >= this.#pages * UPLOADS_A_PAGE || sinceMs >= MAX_INTERVALS * intervalMs
  }

  /** Lists these databases together. */
  async loadAll(databases: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<string, Listed>> {
    this.#listedAtMs = this.#clock.monotonicMs()
    const uploads = this.#uploads
    const [only] = databases
    const listed = await this.#list(databases.length === 1 && only !== undefined ? databasePrefix(only) : '', signal)
    this.#pages = Math.max(1, Math.ceil(listed.size / KEYS_A_PAGE))
    this.#uploads -= uploads
    const byDatabase = new Map<string, ObjectInfo[]>(databases.map((name) => [name, []]))
    for (const info of listed.values()) {
      const database = parseKey(this.#source.layout, info.key)?.database
      if (database !== undefined) byDatabase.get(database)?.push(info)
    }
    return new Map(
      [...byDatabase].map(([name, infos]) => [
        name,
        this.#take(name, historyOf(this.#source.layout, name, infos), listed),
      ]),
    )
  }

  /** An object that was not as it was is dealt with. */
  examined(key: string): void {
    this.#changed.delete(key)
  }

  /** Forgets what merges need no more. Until the next listing, what was put since the last one stays known. */
  trim(database: string): void {
    for (const key of this.#superfluous(database)) {
      this.#databases.get(database)?.delete(key)
      this.#copies?.drop(key)
    }
  }

  /** Drops the copies that merges need no more. */
  compacted(database: string): void {
    if ((this.#databases.get(database)?.size ?? 0) > MAX_KNOWN) return this.trim(database)
    for (const key of this.#superfluous(database)) this.#copies?.drop(key)
  }

  #superfluous(database: string): string[] {
    const known = this.#databases.get(database)
    if (known === undefined) return []
    const history = historyOf(this.#source.layout, database, known.values())
    const needed = recent(history)
    return history.files.map(({ key }) => key).filter((key) => !needed.has(key))
  }

  forget(database: string): void {
    for (const key of this.#databases.get(database)?.keys() ?? []) {
      this.#copies?.drop(key)
      this.#changed.delete(key)
    }
    this.#databases.delete(database)
  }

  /** Whether there was a copy, of which a merge has found that it is damaged. */
  dropCopy(key: string): boolean {
    return this.#copies?.drop(key) ?? false
  }

  async close(): Promise<void> {
    await this.#copies?.close()
  }

  beginCopy(key: string): CopyInProgress | undefined {
    if (!this.isSparing) return undefined
    const parsed = parseKey(this.#source.layout, key)
    if (parsed?.type !== 'file' || parsed.level >= this.#copiedLevels) return undefined
    return this.#copies?.begin(key)
  }

  async stored(key: string, sizeBytes: number, options: PutOptions, putTag: string | undefined): Promise<void> {
    const { metadata = {}, timestampMs } = options
    this.#uploads++
    // Its database was removed meanwhile.
    if (this.#of(key) === undefined) this.#copies?.drop(key)
    const { layout } = this.#source
    // In a directory it would take a file, and the times of objects are not those of uploads.
    const storeMs = this.#hasClock && layout === 's3' ? await this.#source.clockMs().catch(() => undefined) : undefined
    this.#hasClock = storeMs !== undefined
    const storedMs = storeMs ?? this.#clock.now()
    const lastModifiedMs = layout === 'directory' && timestampMs !== undefined ? timestampMs : storedMs
    this.#note({ key, sizeBytes, storedMs, lastModifiedMs, metadata, putTag })
  }

  found({ etag: _, ...head }: ObjectHead): void {
    const known = this.#of(head.key)?.get(head.key)
    // What has replaced an object is not what is known: the next listing tells.
    if (known === undefined ? this.isSparing : !isReplaced(this.#source.layout, known, head)) {
      this.#note({ ...known, ...head })
    }
  }

  isGone(key: string): void {
    this.#copies?.drop(key)
    this.#changed.delete(key)
    for (const { stored, gone } of this.#listing) {
      stored.delete(key)
      gone.add(key)
    }
    this.#of(key)?.delete(key)
  }

  headOf(key: string): ObjectHead | undefined {
    const known = this.#of(key)?.get(key)
    return known?.metadata === undefined ? undefined : { ...known, metadata: known.metadata }
  }

  copyOf(key: string): AsyncIterable<Uint8Array> | undefined {
    return this.#copies?.has(key) === true ? this.#copies.read(key) : undefined
  }

  #note(known: Known): void {
    const { key } = known
    for (const { stored, gone } of this.#listing) {
      gone.delete(key)
      stored.set(key, known)
    }
    const all = this.#of(key)
    const { metadata: _, ...facts } = known
    all?.set(key, this.isSparing ? known : facts)
    // Elsewhere merges forget what they need no more.
    if (all === undefined || this.isSparing || all.size <= MAX_KNOWN) return
    const [oldest] = all.keys()
    if (oldest !== undefined) all.delete(oldest)
  }

  #of(key: string): Map<string, Known> | undefined {
    const database = parseKey(this.#source.layout, key)?.database
    return database === undefined ? undefined : this.#databases.get(database)
  }

  /** What the store lists, with what happened to it meanwhile. */
  async #list(prefix: string, signal?: AbortSignal): Promise<Map<string, Known>> {
    const meanwhile: Meanwhile = { stored: new Map(), gone: new Set() }
    this.#listing.add(meanwhile)
    try {
      const listed = new Map<string, Known>()
      for await (const info of this.#source.list(prefix, undefined, signal)) {
        signal?.throwIfAborted()
        listed.set(info.key, info)
      }
      for (const [key, known] of meanwhile.stored) if (key.startsWith(prefix)) listed.set(key, known)
      for (const key of meanwhile.gone) listed.delete(key)
      return listed
    } finally {
      this.#listing.delete(meanwhile)
    }
  }

  /** Replaces what is known of the database. */
  #take(database: string, history: BackupHistory, listed: ReadonlyMap<string, Known>): Listed {
    const before = this.#databases.get(database)
    const after = new Map<string, Known>()
    const changed: BackupFile[] = []
    for (const { key } of [...history.files, ...history.markers]) {
      const info = listed.get(key)
      if (info !== undefined) after.set(key, info)
    }
    for (const [key, { etag }] of after) {
      if (etag !== undefined && before?.get(key)?.putTag === etag) this.#listsPutTags = true
    }
    const precisionMs = timePrecisionMs(history.files.flatMap(({ key }) => after.get(key) ?? []))
    for (const file of history.files) {
      const { key } = file
      const [was, is] = [before?.get(key), after.get(key)]
      if (is === undefined) continue
      const etag = was?.etag ?? (this.#listsPutTags ? was?.putTag : undefined)
      const known = was && { ...was, ...(etag !== undefined && { etag }) }
      if (isReplaced(this.#source.layout, known, is, precisionMs)) {
        this.#copies?.drop(key)
        this.#changed.set(key, file)
      } else if (was?.metadata !== undefined) {
        after.set(key, { ...is, metadata: was.metadata })
      }
      if (this.#changed.has(key)) changed.push(file)
    }
    for (const key of before?.keys() ?? []) {
      if (after.has(key)) continue
      this.#copies?.drop(key)
      this.#changed.delete(key)
    }
    this.#databases.set(database, after)
    return { history, changed }
  }
}
