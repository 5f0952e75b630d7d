import { type Owner, sameOwner } from '../../util/owner.ts'
import { ITEM_COST_BYTES } from '../wire/flow.ts'
import type { FeedHost } from './feed-host.ts'
import type { StreamedDatabase, StreamedOwner } from './source.ts'

/** The owner of one database on its way to one replica: sent at the beginning, and when it has changed. */
export class OwnerFeed {
  readonly #name: string
  readonly #host: FeedHost
  #sent: Owner | undefined
  /** The count of changes when the owner was read last. */
  #changes: number | undefined

  constructor(name: string, host: FeedHost) {
    this.#name = name
    this.#host = host
  }

  /** The replica has dropped what was sent. */
  forget(): void {
    this.#sent = undefined
  }

  /** The owner has changed since it was read, although the log may not have. */
  isStale(owner: StreamedOwner | undefined): boolean {
    return owner !== undefined && this.#changes !== undefined && owner.changes() !== this.#changes
  }

  /** Sends the owner if the replica does not know it. Returns false when there is no room. */
  async send({ owner }: StreamedDatabase): Promise<boolean> {
    const { flow } = this.#host
    if (owner === undefined || !this.#host.takesOwners()) return true
    const changes = owner.changes()
    const file = owner.file()
    if (file !== undefined && (this.#sent === undefined || !sameOwner(this.#sent, file))) {
      if (flow.roomToBegin(this.#name) <= 0) return false
      flow.take(this.#name, ITEM_COST_BYTES)
      this.#sent = file
      await this.#host.send({ type: 'owner', database: this.#name, owner: { file, folders: owner.folders() } })
    }
    this.#changes = changes
    return true
  }
}
