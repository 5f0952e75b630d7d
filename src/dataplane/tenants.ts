import type { SlotState } from './shared-slot.ts'
import type { SharedState } from './shared-state.ts'

type Read = () => SlotState

/**
 * The control plane's reading of slots. Whoever still reads a database whose slot was released sees its last state, and
 * never that of the slot's next database.
 */
export class Tenants {
  readonly #shared: SharedState
  readonly #current = new Map<number, { last: SlotState | undefined }>()
  readonly #slots = new WeakMap<Read, number>()

  constructor(shared: SharedState) {
    this.#shared = shared
  }

  /** Reads the database that has the slot now. */
  stateOf(slot: number): Read {
    let tenant = this.#current.get(slot)
    if (tenant === undefined) this.#current.set(slot, (tenant = { last: undefined }))
    const read = () => tenant.last ?? this.#shared.read(slot)
    this.#slots.set(read, slot)
    return read
  }

  slotOf(read: Read | undefined): number | undefined {
    return read && this.#slots.get(read)
  }

  /** The data plane has released the slot: gives it back. Returns the database's last state. */
  end(slot: number): SlotState {
    const last = this.#shared.read(slot)
    const tenant = this.#current.get(slot)
    if (tenant !== undefined) tenant.last = last
    this.#current.delete(slot)
    this.#shared.giveBack(slot)
    return last
  }
}
