import { StreamProtocolError } from '../wire/errors.ts'
import { MAX_OPEN_BODIES } from '../wire/flow.ts'
import type { Lane } from './lane.ts'

/** I10: an item that arrives in several frames has a file and memory of its own, so only a few may be open at once. */
export class OpenLanes {
  readonly #lanes = new Set<Lane>()

  /** `receive` begins an item of the lane. Throws StreamProtocolError when too many have begun. */
  begin(lane: Lane, receive: (lane: Lane) => void): void {
    receive(lane)
    if (!lane.receiving) return
    this.#lanes.add(lane)
    if (this.#lanes.size <= MAX_OPEN_BODIES) return
    for (const each of this.#lanes) if (!each.receiving) this.#lanes.delete(each)
    if (this.#lanes.size <= MAX_OPEN_BODIES) return
    throw new StreamProtocolError(`more than ${MAX_OPEN_BODIES} transactions and snapshots were sent side by side`)
  }
}
