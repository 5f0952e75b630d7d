import type { LogView } from '../../log/view.ts'
import type { Position } from '../../ltx/format/types.ts'
import { samePosition } from '../../ltx/format/types.ts'

/**
 * One fsync of a log for all streams that wait for one (I4). A caller that comes during an fsync may need more than it
 * covers, so all such callers share the next.
 */
export class GroupSync {
  readonly #synced = new Map<string, Position>()
  readonly #running = new Map<string, { readonly current: Promise<Position>; next?: Promise<Position> }>()

  /**
   * Everything up to the log's position as of the call is durable when this resolves; returns at least that position.
   */
  async sync(log: LogView): Promise<Position> {
    const known = this.#synced.get(log.database)
    if (known !== undefined && samePosition(known, log.position())) return known
    const running = this.#running.get(log.database)
    if (running === undefined) return this.#begin(log)
    running.next ??= running.current.then(
      () => this.#begin(log),
      () => this.#begin(log),
    )
    return running.next
  }

  #begin(log: LogView): Promise<Position> {
    const name = log.database
    const current = this.#run(log)
    const entry = { current }
    this.#running.set(name, entry)
    const done = () => {
      if (this.#running.get(name) === entry) this.#running.delete(name)
    }
    current.then(done, done)
    return current
  }

  async #run(log: LogView): Promise<Position> {
    const position = await log.sync()
    this.#synced.set(log.database, position)
    return position
  }
}
