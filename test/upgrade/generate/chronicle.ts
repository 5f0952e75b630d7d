/** The states of a database that a node has shipped. */

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SqlClient } from '../../cluster/sql-client.ts'
import { until } from '../../harness/wait.ts'
import { contentsOf } from '../contents.ts'
import type { Contents, DatabaseFacts, Moment } from '../fixture.ts'
import { DEADLINE_MS, type Station, txidOf } from '../station.ts'
import { command, json } from './build.ts'

export class Chronicle {
  readonly name: string
  readonly #station: Station
  readonly #moments: Moment[]

  /** `before` is the same database on an earlier node. */
  constructor(station: Station, name: string, before?: Chronicle) {
    this.#station = station
    this.name = name
    this.#moments = before === undefined ? [] : [...before.#moments]
  }

  /** Waits until the backup has the current state, and notes it. */
  async note(): Promise<void> {
    const txid = txidOf(await this.#station.shipped(this.name))
    if (this.#moments.at(-1)?.txid === txid) return
    this.#moments.push({ txid, ...(await this.#contents()) })
  }

  /** Runs statements and notes the result. */
  async after(client: SqlClient, sql: string): Promise<void> {
    await client.exec(sql)
    await this.note()
  }

  /** The current state, and the restorable ones. */
  async facts(backup: string): Promise<DatabaseFacts> {
    const { name } = this
    const status = await this.#station.database(name)
    const { journalMode } = status
    const contents = await this.#contents()
    return { name, journalMode, txid: txidOf(status), ...contents, moments: await this.#restorable(backup) }
  }

  async #contents(): Promise<Contents> {
    const [contents] = await this.#station.contents([this.name])
    if (contents === undefined) throw new Error(`nothing was read of ${this.name}`)
    return contents
  }

  /** The noted states that the build itself restores from the backup. */
  async #restorable(backup: string): Promise<Moment[]> {
    const dir = mkdtempSync(join(tmpdir(), 'ltxd-restorable-'))
    const found: Moment[] = []
    for (const { txid, ...contents } of this.#moments) {
      const output = join(dir, txid)
      try {
        await command(['restore', backup, this.name, '--txid', txid, '-o', output])
      } catch (error) {
        // The transaction lies within a compacted file.
        if (!/cannot be restored as of/.test(String(error))) throw error
        continue
      }
      const { sha256 } = contentsOf(output)
      if (sha256 !== contents.sha256) throw new Error(`${this.name} as of ${txid} is not what it was`)
      found.push({ txid, ...contents })
    }
    return found
  }
}

interface Listed {
  readonly files: readonly { readonly level: number }[]
  readonly markers: readonly { readonly kind: string }[]
}

/** What the backup has of a database. */
export async function listed(backup: string, name: string): Promise<Listed> {
  return json<Listed>(['backup', 'list', backup, name])
}

/** Waits until the backup says that the database was dropped. */
export async function dropShipped(backup: string, name: string): Promise<void> {
  await until(`${name} dropped in the backup`, DEADLINE_MS, async () => {
    return (await listed(backup, name)).markers.some(({ kind }) => kind === 'dropped')
  })
}
