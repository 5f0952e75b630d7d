/**
 * Shared by the tests of a data directory's recovery: directories as a crash leaves them, plans and outcomes as text.
 */

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { expect } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import type { Rig } from '../../test/harness/in-process/rig.ts'
import type { Connection } from '../../test/harness/in-process/sqlite-engine.ts'
import { recoverAndCheck } from '../../test/harness/in-process/verdict.ts'
import { inspectLog } from '../log/open.ts'
import { logDirectory } from '../log/store.ts'
import { nodeFiles } from '../util/files.ts'
import type { RecoveredDatabase } from './directory.ts'
import { planDirectory, recoverDirectory } from './directory.ts'
import { describeFindings, describeStep } from './text.ts'

export const FILE = 'files/a.db'

/** Every property of a directory's files that a change would show in. */
function stateOf(dir: string): unknown {
  return (fs.readdirSync(dir, { recursive: true }) as string[]).sort().map((name) => {
    const { ino, mode, size, mtimeNs, ctimeNs } = fs.statSync(`${dir}/${name}`, { bigint: true })
    const isFile = fs.statSync(`${dir}/${name}`).isFile()
    const content =
      isFile &&
      createHash('sha256')
        .update(fs.readFileSync(`${dir}/${name}`))
        .digest('hex')
    return { name, ino, mode, size, mtimeNs, ctimeNs, content }
  })
}

/** The findings and the plan for a.db, one line each. Asserts that planning changes nothing. */
export function planned(dir: string): string {
  const before = stateOf(dir)
  const [plan] = planDirectory(dir, ['a.db'])
  expect(stateOf(dir), 'a dry run changes nothing').toEqual(before)
  if (plan === undefined) throw new Error('a.db is missing')
  const found =
    plan.facts === undefined ? [] : describeFindings(plan.facts).map(({ what, state }) => `${what}: ${state}`)
  const steps = plan.plan.kind === 'recover' ? plan.plan.steps.map(describeStep) : [JSON.stringify(plan.plan)]
  return [...found, ...steps].join('\n')
}

/** Recovers a.db and checks it against the invariants. A second recovery must find nothing to do. */
export function recovered(dir: string, warnings: string[] = []): RecoveredDatabase {
  const log = (level: string, message: string) => void (level === 'warn' && warnings.push(message))
  const [result] = recoverDirectory(dir, ['a.db'], 1 << 20, log)
  if (result === undefined) throw new Error('a.db is missing')
  if (result.rejection !== undefined) return result
  expect(planned(dir)).toMatch(
    /file: .*, as a clean stop left it\njournal: none\nWAL: none\nnothing: a clean stop left it/,
  )
  expect(recoverAndCheck(dir, 'a.db').txid).toBe(result.position?.txid)
  return result
}

export const bytesOf = (dir: string) => fs.readFileSync(`${dir}/${FILE}`)
export const lastTXID = (rig: Rig) => BigInt(rig.txid())

/** A copy of `rig`'s directory as it is now: what a process would find after a crash. */
export function crashed(rig: Rig): { dir: string } & Disposable {
  const temporary = temporaryDirectory()
  fs.cpSync(rig.dir, temporary.dir, { recursive: true })
  return temporary
}

/** A copy in the middle of the transaction `sql`, which has spilled pages into the file. */
export function crashedWithin(rig: Rig, connection: Connection, sql: string): { dir: string } & Disposable {
  connection.exec(`PRAGMA cache_size = 3; BEGIN; ${sql}`)
  const left = crashed(rig)
  connection.exec('ROLLBACK')
  return left
}

/** Cuts the last transactions from the log. */
export function forget(dir: string, transactions: number): void {
  const from = inspectLog(nodeFiles, logDirectory(dir, 'a.db')).entries.at(-transactions)
  if (from === undefined) throw new Error(`the log has fewer than ${transactions} transactions`)
  fs.truncateSync(from.segment, from.offset - 24)
}
