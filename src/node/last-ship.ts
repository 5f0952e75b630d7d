/** What a node that stops does for the transactions that no other node will ship. */

import { listBackup } from '../backup/ship/boot.ts'
import type { Leader } from '../cluster/lease/lease.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { PromptStore } from '../objectstore/stores/prompt-store.ts'
import type { Logger } from '../util/log.ts'
import { nowMs } from '../util/monotonic.ts'
import type { NodeBackup } from './node-backup.ts'

export interface LastShip {
  readonly backup: NodeBackup | undefined
  readonly plane: DataPlane
  /** On the monotonic clock: until then, uploads of earlier leaders may still reach the backup. */
  readonly uploadsMayRunUntilMs: number
  /** A replica that stops as well has everything. */
  readonly hasCopy: boolean
  readonly logger: Logger
}

/** Of a leader without a successor: ships everything. Rejects when the signal ends it before that. */
export async function shipTheRest(ship: LastShip, signal: AbortSignal): Promise<Leader['kept']> {
  const { backup, plane, uploadsMayRunUntilMs, hasCopy, logger } = ship
  if (backup === undefined) return hasCopy || isEmpty(plane) ? 'elsewhere' : 'alone'
  await backup.compared(signal)
  if (backup.hasAll(plane)) return 'elsewhere'
  const seconds = Math.ceil((uploadsMayRunUntilMs - nowMs()) / 1_000)
  if (seconds > 0) {
    logger.warn(
      { waitMs: seconds * 1_000 },
      `waiting ${seconds} s before the last upload, because uploads of an earlier primary may reach the backup until ` +
        'then. All transactions of this node are safe on its disk',
    )
  }
  await backup.ship(signal)
  return mayBeAlone(plane) ? 'unknown' : 'elsewhere'
}

/** Whether this node has something of a database that it does not lead: that may be nowhere else. */
export function mayBeAlone(plane: DataPlane): boolean {
  const { reasons } = plane.withheld
  return served(plane).some(({ name, state }) => reasons.has(name) && state().position.txid > 0n)
}

/** Of a replica whose primary does not answer: whether the backup has everything that this node has. */
export async function isBackedUp(
  { backup, plane }: Pick<LastShip, 'backup' | 'plane'>,
  signal: AbortSignal,
): Promise<boolean> {
  if (backup === undefined || isEmpty(plane)) return true
  const found = await listBackup(new PromptStore(backup.store, signal), () => undefined)
  const backedUp = new Map(found.map(({ name, position }) => [name, position]))
  return served(plane).every(({ name, state }) => {
    const { txid, checksum } = state().position
    const there = backedUp.get(name)
    if (txid === 0n) return true
    if (there === undefined || there.txid < txid) return false
    return there.txid > txid || there.checksum === undefined || there.checksum === checksum
  })
}

function isEmpty(plane: DataPlane): boolean {
  return served(plane).every(({ state }) => state().position.txid === 0n)
}

function served(plane: DataPlane) {
  return Array.from(plane.databases.values()).filter(({ rejection }) => rejection === undefined)
}
