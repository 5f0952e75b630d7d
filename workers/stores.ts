import { setMaxListeners } from 'node:events'
import type { ObjectStore } from '../src/objectstore/objectstore.ts'
import { openObjectStore, storeIdentity } from '../src/objectstore/stores/open.ts'
import { PromptStore } from '../src/objectstore/stores/prompt-store.ts'
import { LtxdError, UsageError } from '../src/util/errors.ts'
import { holdsSecret, redactUrl } from '../src/util/redact.ts'
import { shorten } from '../src/util/shorten.ts'
import { STORE_NAME, type StoreDefinition } from './store-definitions.ts'

const MAX_SHOWN = 300

/** A job names a store that the worker's configuration does not define. A retry never helps. */
export class UnknownStoreError extends LtxdError {
  constructor(reference: string) {
    const isName = STORE_NAME.test(reference)
    const shown = shorten(isName ? reference : redactUrl(reference), MAX_SHOWN)
    const definition = isName ? `${shown}=URL` : `NAME=${shown}`
    super(
      'JOB_INVALID',
      `the job names the store ${shown}, which is not configured here. If jobs may use it, start the worker with ` +
        `--store ${definition}, or add ${definition} to LTXD_STORES`,
      2,
    )
  }
}

/** The stores of one job. */
export interface BorrowedStores {
  /**
   * Opens the configured store that a name or a URL names. It answers in time or fails, and ends with the signal. Not
   * to be closed. Throws UnknownStoreError.
   */
  readonly open: (reference: string) => ObjectStore
}

/**
 * The only stores that jobs may use. A job names one by its name or by its URL; what is opened is always the URL of
 * the configuration. Stores stay open from one job to the next. A client for each job would begin with new
 * connections, and, on a machine with a role, by requesting credentials.
 */
export class Stores {
  readonly #byName = new Map<string, StoreDefinition>()
  readonly #byIdentity = new Map<string, StoreDefinition>()
  readonly #opened = new Map<StoreDefinition, ObjectStore>()
  readonly #open: (url: string) => ObjectStore

  /** Throws UsageError for a name that is defined twice, StoreUrlError for a URL that names no store. */
  constructor(definitions: readonly StoreDefinition[], open: (url: string) => ObjectStore = openObjectStore) {
    this.#open = open
    for (const definition of definitions) {
      const { name, url } = definition
      const known = this.#byName.get(name)
      const identity = storeIdentity(url)
      if (known !== undefined && storeIdentity(known.url) !== identity) {
        throw new UsageError(`the store ${name} is defined twice, with different URLs: give each store its own name`)
      }
      this.#byName.set(name, known ?? definition)
      if (!this.#byIdentity.has(identity)) this.#byIdentity.set(identity, known ?? definition)
    }
  }

  get names(): string[] {
    return [...this.#byName.keys()]
  }

  /** The store that a job's reference names. Throws UnknownStoreError. */
  find(reference: string): StoreDefinition {
    const found = this.#byName.get(reference) ?? this.#byIdentity.get(identityOf(reference) ?? '')
    if (found === undefined) throw new UnknownStoreError(reference)
    return found
  }

  borrow(signal: AbortSignal): BorrowedStores {
    setMaxListeners(0, signal)
    return { open: (reference) => new PromptStore(this.#reuse(this.find(reference)), signal) }
  }

  async close(): Promise<void> {
    const all = [...this.#opened.values()]
    this.#opened.clear()
    await Promise.all(all.map((store) => store.close()))
  }

  #reuse(definition: StoreDefinition): ObjectStore {
    const opened = this.#opened.get(definition) ?? this.#open(definition.url)
    this.#opened.set(definition, opened)
    return opened
  }
}

/** undefined where the reference is no store's URL, or holds credentials. */
function identityOf(reference: string): string | undefined {
  try {
    return holdsSecret(reference) ? undefined : storeIdentity(reference)
  } catch {
    return undefined
  }
}
