import type { Sharing } from '../capture/events.ts'
import type { SlotState } from './shared-slot.ts'

/** A database, in the control plane. */
export interface KnownDatabase {
  readonly name: string
  /** Why the database is not served; undefined while it is. */
  readonly rejection: string | undefined
  readonly state: () => SlotState
}

/** Receives the events that checkpoints depend on. */
export interface WalObserver {
  /** The number of connections that have the database open in WAL mode, or write to it, has changed. */
  readonly sharing: (database: string, sharing: Sharing) => void
  /** Committed pages were about to be lost between the WAL and the database file (I11). */
  readonly guarded: (database: string) => void
  /** The WAL was written, and for a second nothing was captured. */
  readonly unexplained: (database: string) => void
}
