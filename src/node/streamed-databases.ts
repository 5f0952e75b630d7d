import type { DataDirectory } from '../data/directory.ts'
import type { Owners } from '../data/owners.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { LogReader } from '../log/reader.ts'
import { logDirectory } from '../log/store.ts'
import type { StreamedDatabase } from '../stream/primary/source.ts'

/** The databases that this node can stream, each with one reader of its log that continues from its last position. */
export class StreamedDatabases {
  readonly #data: DataDirectory
  readonly #plane: DataPlane
  readonly #owners: Owners
  readonly #known = new Map<string, StreamedDatabase>()

  constructor(data: DataDirectory, plane: DataPlane, owners: Owners) {
    this.#data = data
    this.#plane = plane
    this.#owners = owners
  }

  *[Symbol.iterator](): Generator<StreamedDatabase> {
    for (const { name, rejection, state } of this.#plane.databases.values()) {
      if (this.#plane.withheld.reasons.has(name)) continue
      if (rejection === undefined && state().position.txid > 0n) yield this.#known.get(name) ?? this.#add(name)
    }
  }

  /** What this node has of a database that it does not lead. */
  withheld(name: string): StreamedDatabase | undefined {
    return this.#plane.withheld.reasons.has(name) ? (this.#known.get(name) ?? this.#add(name)) : undefined
  }

  /** Only the position of the database's drop remains. */
  released(name: string): void {
    this.#known.delete(name)
  }

  #add(name: string): StreamedDatabase {
    // Looked up by name each time: a database that is no longer rejected has a new handle.
    const position = () => this.#plane.position(name)
    const log = new LogReader(this.#data.files, name, logDirectory(this.#data.dir, name), position)
    const owner = {
      changes: () => this.#plane.ownerChanges.get(name) ?? 0,
      file: () => this.#owners.file(name),
      folders: () => this.#owners.folders(name),
    }
    const shape = () => {
      const { pageSize = 0, sizePages = 0 } = this.#plane.databases.get(name)?.state() ?? {}
      return { pageSize, commit: sizePages }
    }
    const streamed = { name, log, filePath: `${this.#data.root}/${name}`, files: this.#data.files, shape, owner }
    this.#known.set(name, streamed)
    return streamed
  }
}
