/** Checks that a node serves, continues, ships and restores the databases of an earlier version. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { ltxd } from '../cli/run.ts'
import { contentsOf } from './contents.ts'
import type { Contents, DatabaseFacts } from './fixture.ts'
import { type Station, txidOf } from './station.ts'

const COMMIT = "INSERT INTO t (body) VALUES ('of the day')"
/** How many commands run at a time. */
const AT_ONCE = 3

export interface Left {
  /** The backup's URL. */
  readonly backup: string
  readonly databases: readonly DatabaseFacts[]
  readonly dropped: readonly string[]
}

/** Applications see the same contents as before, and transaction numbers continue. */
export async function serves(station: Station, { databases, dropped }: Left): Promise<void> {
  const names = databases.map(({ name }) => name)
  expect(byName(names, await station.contents(names))).toEqual(byName(names, databases.map(contents)))
  for (const { name, txid, journalMode } of databases) {
    const status = await station.database(name)
    expect(status, name).toMatchObject({ name, journalMode })
    expect(status.error, name).toBeUndefined()
    expect(txidOf(status) >= txid, `${name} is at ${txidOf(status)}, and was at ${txid}`).toBe(true)
  }
  const files = (await station.shell('find . -type f')).split('\n').map((path) => path.slice('./'.length))
  expect(files).toEqual(expect.arrayContaining(names))
  for (const name of dropped) expect(files).not.toContain(name)
}

/** Commits a transaction on each database. Returns their contents. */
export async function commits(station: Station, { databases }: Left): Promise<Contents[]> {
  const before = await Promise.all(databases.map(({ name }) => station.database(name)))
  const names = databases.map(({ name }) => name)
  const after = await station.contents(names, COMMIT)
  for (const [i, { name, rows }] of databases.entries()) {
    expect(after[i]?.rows, name).toBe(rows + 1)
    const [from, to] = [before[i], await station.database(name)].map(
      (status) => status && BigInt(`0x${txidOf(status)}`),
    )
    expect(to, name).toBe((from ?? 0n) + 1n)
  }
  return after
}

/** All is shipped, the backup is valid, and the oldest, the newest and one intermediate state can be restored. */
export async function shipsAndRestores(station: Station, left: Left, now: readonly Contents[]): Promise<void> {
  for (const { name } of left.databases) await station.shipped(name)
  await isValid(left.backup)
  const wanted = left.databases.flatMap(({ name, moments }, i) => {
    const [oldest, newest] = [moments[0], moments.at(-1)]
    if (oldest === undefined || newest === undefined) throw new Error(`the fixture has no moments of ${name}`)
    return [
      { name, expected: now[i] },
      ...(i === 0 ? [newest, oldest] : [oldest]).map((at) => ({ name, txid: at.txid, expected: contents(at) })),
    ]
  })
  await restores(left.backup, wanted)
}

export async function isValid(backup: string): Promise<void> {
  expect(await ltxd(['backup', 'verify', backup])).toMatchObject({ code: 0, stderr: '' })
}

interface Wanted {
  readonly name: string
  /** Absent: the newest state. */
  readonly txid?: string
  readonly expected: Contents | undefined
}

async function restores(backup: string, wanted: readonly Wanted[]): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'ltxd-restored-'))
  try {
    const left = wanted.map((item, i) => ({ ...item, output: join(dir, String(i)) }))
    const work = async () => {
      for (let item = left.pop(); item !== undefined; item = left.pop()) {
        const { name, txid, expected, output } = item
        const at = txid === undefined ? [] : ['--txid', txid]
        const done = await ltxd(['restore', backup, name, ...at, '-o', output, '--check'])
        expect(done, `${name} ${txid ?? ''}`).toMatchObject({ code: 0 })
        expect(contentsOf(output), `${name} ${txid ?? ''}`).toEqual(expected)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function byName(names: readonly string[], all: readonly Contents[]): Record<string, Contents | undefined> {
  return Object.fromEntries(names.map((name, i) => [name, all[i]]))
}

function contents({ rows, sha256 }: Contents): Contents {
  return { rows, sha256 }
}
