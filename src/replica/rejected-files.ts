import type { DataDirectory } from '../data/directory.ts'
import { saveRejected } from '../data/diverged.ts'

interface Saved {
  readonly dir: string
  /** What tells the state of the files that were saved. */
  readonly state: string
}

/**
 * Copies of rejected files below `diverged/`, one of each state: where what follows the copy fails, it is all tried
 * again.
 */
export class RejectedFiles {
  readonly #data: DataDirectory
  readonly #saved = new Map<string, Saved>()

  constructor(data: DataDirectory) {
    this.#data = data
  }

  /** Returns the directory, and whether it is new. Throws DiskSpaceError, and the reason of the signal. */
  async save(
    database: string,
    reason: string,
    signal: AbortSignal,
  ): Promise<{ readonly file: string; readonly isNew: boolean }> {
    const state = this.#stateOf(database)
    const before = this.#saved.get(database)
    if (before?.state === state && this.#data.files.exists(before.dir)) return { file: before.dir, isNew: false }
    const dir = await saveRejected(this.#data, database, reason, signal)
    this.#saved.set(database, { dir, state })
    return { file: dir, isNew: true }
  }

  #stateOf(database: string): string {
    const { files, root } = this.#data
    const found = ['', '-wal', '-journal'].map((suffix) => {
      const path = `${root}/${database}${suffix}`
      const status = files.exists(path) ? files.status(path) : undefined
      return status?.isFile() === true ? [status.ino, status.size, status.mtimeMs] : undefined
    })
    return JSON.stringify(found)
  }
}
