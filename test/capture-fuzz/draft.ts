import type { Chance } from '../fuzz/chance.ts'
import type { Step } from './program.ts'

/** A connection of the program. */
export interface Connection {
  readonly by: number
  readonly slot: string
  isOpen: boolean
  inTransaction: boolean
  savepoints: number
  isReading: boolean
}

/** A program while it is made. */
export interface Draft {
  readonly chance: Chance
  readonly names: readonly [string, string]
  readonly steps: Step[]
  readonly connections: readonly Connection[]
  attached: boolean
  /** Of all connections: SQLite mixes none in one process. */
  readonly vfs: readonly string[]
}

export function first(draft: Draft): Connection {
  return draft.connections[0] as Connection
}

export function say(draft: Draft, { by }: { readonly by: number }, ...words: string[]): void {
  draft.steps.push({ by, words })
}

export function sql(draft: Draft, { by, slot }: Connection, text: string): void {
  say(draft, { by }, 'sql', slot, text)
}

export function open(draft: Draft, connection: Connection, name = draft.names[0]): void {
  const { chance } = draft
  say(draft, connection, 'open', connection.slot, name, 'rw', ...draft.vfs)
  connection.isOpen = true
  sql(draft, connection, `PRAGMA cache_size = ${chance.pick([1, 2, 5, 5, 10, 10, 100])}`)
  if (chance.oneIn(4)) sql(draft, connection, `PRAGMA wal_autocheckpoint = ${chance.pick([0, 1, 10, 1000])}`)
}

export function close(draft: Draft, connection: Connection): void {
  if (!connection.isOpen) return
  say(draft, connection, 'close', connection.slot)
  Object.assign(connection, { isOpen: false, inTransaction: false, savepoints: 0, isReading: false })
}
