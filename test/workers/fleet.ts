import { type BackupFile, compareTXID, loadHistory } from '../../src/backup/history/history.ts'
import { type UploadState, uploadTransactions } from '../../src/backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../../src/backup/testing.ts'
import { EMPTY_CHECKSUM, toTXID } from '../../src/ltx/format/types.ts'
import type { ObjectStore } from '../../src/objectstore/objectstore.ts'

const NOTHING: UploadState = { txid: toTXID(0), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 0, commit: 0 }

/** Databases that commit and ship, as the nodes of an installation do; every state they ever had is kept. */
export class Fleet {
  readonly databases: readonly PlayedDatabase[]
  readonly #store: ObjectStore
  readonly #shipped = new Map<PlayedDatabase, UploadState>()

  constructor(store: ObjectStore, count: number, seed: number) {
    this.#store = store
    this.databases = Array.from(
      { length: count },
      (_, i) => new PlayedDatabase(i % 3 === 0 ? `tenants/${i}.db` : `app ${i}.db`, seeded(seed + i)),
    )
  }

  /** One commit, or some, of each, and one upload. */
  async round(commits: (database: number) => number): Promise<void> {
    const ship = async (played: PlayedDatabase, i: number) => {
      played.nowMs = Date.now()
      played.commit(commits(i))
      const from = this.#shipped.get(played) ?? NOTHING
      const { txid } = played.position()
      this.#shipped.set(played, await uploadTransactions(this.#store, played.database, played, from, txid))
    }
    await Promise.all(this.databases.map(ship))
  }
}

export async function filesOf(store: ObjectStore, database: string, level: number): Promise<BackupFile[]> {
  const { files } = await loadHistory(store, database)
  return files.filter((file) => file.level === level).sort((a, b) => compareTXID(a.min, b.min))
}

/** What is wrong with a level that begins at transaction 1: gaps, and transactions that are there twice. */
export function flaws(files: readonly BackupFile[]): string[] {
  let next = 1n
  const found: string[] = []
  for (const { key, min, max } of files) {
    if (min > next) found.push(`${key}: transactions ${next} to ${min - 1n} are missing before it`)
    if (min < next) found.push(`${key}: transactions ${min} to ${next - 1n} are in the file before it too`)
    next = max + 1n
  }
  return found
}
