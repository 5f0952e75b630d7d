import pLimit from 'p-limit'
import { ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { decoded } from '../history/decoded.ts'
import { CorruptObjectError, MISSING } from '../history/errors.ts'
import type { BackupFile } from '../history/history.ts'
import { reportingCorruption } from '../history/objects.ts'

/** An object that the backup lists, and that cannot be used. */
export interface Avoided {
  readonly key: string
  readonly problem: string
}

const AT_ONCE = 8

/** Decodes objects to find damaged ones, each object once. */
export class Examination {
  readonly #store: ObjectStore
  readonly #signal: AbortSignal | undefined
  readonly #examined = new Set<string>()

  constructor(store: ObjectStore, signal: AbortSignal | undefined) {
    this.#store = store
    this.#signal = signal
  }

  /** Those of the files that are damaged or missing, except `known` ones. A store that fails says nothing of them. */
  async of(files: readonly BackupFile[], known: { has(key: string): boolean }): Promise<Avoided[]> {
    const fresh = files.filter(({ key }) => !known.has(key) && !this.#examined.has(key))
    const found = await pLimit(AT_ONCE).map(fresh, (file) => this.#examine(file))
    return found.filter((damaged) => damaged !== undefined)
  }

  async #examine(file: BackupFile): Promise<Avoided | undefined> {
    this.#signal?.throwIfAborted()
    const { key } = file
    this.#examined.add(key)
    try {
      await reportingCorruption(this.#store, [file], () => decoded(this.#store, file, this.#signal))
      return undefined
    } catch (error) {
      this.#signal?.throwIfAborted()
      if (error instanceof CorruptObjectError) return { key, problem: error.problem }
      return error instanceof ObjectNotFoundError ? { key, problem: MISSING } : undefined
    }
  }
}
