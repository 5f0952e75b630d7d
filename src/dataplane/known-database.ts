import type { SlotState } from './shared-state.ts'

/** A database, in the control plane. */
export interface KnownDatabase {
  readonly name: string
  /** Why the database is not served; undefined while it is. */
  readonly rejection: string | undefined
  readonly state: () => SlotState
}
