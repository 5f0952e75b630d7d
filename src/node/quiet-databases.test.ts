import { expect, test } from 'vitest'
import type { KnownDatabase } from '../dataplane/dataplane.ts'
import type { SlotState } from '../dataplane/shared-slot.ts'
import { EMPTY_CHECKSUM, type TXID } from '../ltx/format/types.ts'
import { QUIET_MS, QuietDatabases } from './quiet-databases.ts'

/** A plane with one database, and what is known of it. */
function planeWith(name: string) {
  const at = { txid: 1n, backfilled: 0n }
  const state = () =>
    ({
      position: { txid: at.txid as TXID, checksum: EMPTY_CHECKSUM },
      backfilled: { txid: at.backfilled as TXID, checksum: EMPTY_CHECKSUM },
      tracked: true,
    }) as SlotState
  const known: KnownDatabase = { name, rejection: undefined, state }
  const plane = {
    behind: new Set([name]),
    sharing: new Map<string, 'one-writer'>(),
    databases: new Map([[name, known]]),
  }
  return { at, plane, quiet: new QuietDatabases(plane) }
}

test('a database is due a second after its last commit, and is forgotten once its file is whole', () => {
  const { at, plane, quiet } = planeWith('a.db')
  expect(quiet.due(0)).toEqual([])
  at.txid++
  expect(quiet.due(QUIET_MS)).toEqual([])
  expect(quiet.due(2 * QUIET_MS - 1)).toEqual([])
  expect(quiet.due(2 * QUIET_MS)).toEqual(['a.db'])
  at.backfilled = at.txid
  expect(quiet.due(60 * QUIET_MS)).toEqual([])
  expect(plane.behind.size).toBe(0)
})

test('while a reader blocks the checkpoint, the pauses between the orders grow, and a commit shortens them again', () => {
  const { at, quiet } = planeWith('a.db')
  const orders = (fromMs: number, toMs: number) => {
    let count = 0
    for (let ms = fromMs; ms < toMs; ms += 100) count += quiet.due(ms).length
    return count
  }
  expect(orders(0, 10_000)).toBe(3)
  expect(orders(10_000, 310_000)).toBeLessThan(14)
  at.txid++
  expect(orders(310_000, 312_000)).toBe(1)
})

test('a database that several connections have open is left to the client that guards it', () => {
  const { plane, quiet } = planeWith('a.db')
  plane.sharing.set('a.db', 'one-writer')
  expect([quiet.due(0), quiet.due(10 * QUIET_MS)]).toEqual([[], []])
  plane.sharing.clear()
  expect([quiet.due(10 * QUIET_MS), quiet.due(11 * QUIET_MS)]).toEqual([[], ['a.db']])
})
