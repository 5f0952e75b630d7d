import { setTimeout as sleep } from 'node:timers/promises'
import type { Spool } from '../data/spool.ts'
import type { Position } from '../ltx/format/types.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import { unlessAborted } from '../util/waits.ts'
import { type ReplicaDatabase, ReplicaError } from './database.ts'
import type { ReplicaDatabases } from './databases.ts'

/** What a file of the backup brings a database to. */
export interface AdvanceTo {
  /** The file holds every page: it replaces any previous state. */
  readonly whole: boolean
  readonly position: Position | undefined
  readonly timestampMs: number
}

/** How long a local process may hold up a file. */
const HELD_UP_MS = 2_000
const POLL_MS = 50

/**
 * Applies a file of the backup to a database that this node does not lead. Throws ReplicaError, and the reason of
 * `signal`.
 */
export async function advance(
  spool: Spool,
  databases: Pick<ReplicaDatabases, 'get'>,
  name: string,
  bytes: AsyncIterable<Uint8Array>,
  { whole, position, timestampMs }: AdvanceTo,
  signal: AbortSignal,
): Promise<void> {
  const { file } = await spool.write(bytes)
  let advancing: Promise<void> | undefined
  try {
    const database = await unlessAborted(signal, databases.get(name))
    const at = position === undefined ? {} : { position: formatPosition(position) }
    advancing = database.advance({ file, whole, timestampMs, ...at })
    await unlessHeldUp(database, advancing, signal)
  } catch (error) {
    // Otherwise the client still needs it, and removes it in its time.
    if (advancing === undefined || error instanceof ReplicaError) spool.remove(file)
    throw error
  }
}

/** A lease is not kept unused for as long as a local process likes. The client finishes the order in its time. */
async function unlessHeldUp(database: ReplicaDatabase, advancing: Promise<void>, signal: AbortSignal): Promise<void> {
  const isOver = advancing.then(
    () => true,
    () => true,
  )
  let heldUpMs = 0
  while (!(await unlessAborted(signal, Promise.race([isOver, sleep(POLL_MS, false)])))) {
    heldUpMs = database.blocked === undefined ? 0 : heldUpMs + POLL_MS
    if (heldUpMs < HELD_UP_MS) continue
    throw new LtxdError('REPLICA_HELD_UP', `database ${database.name} cannot be advanced: ${database.blocked ?? ''}`)
  }
  await advancing
}
