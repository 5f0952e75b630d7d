import type { Caller } from '../fuse/content.ts'
import type { Files } from '../util/files.ts'
import { PlainContent } from './contents.ts'
import type { CaptureEvents } from './events.ts'
import type { Reject } from './rejection.ts'

/** A file that `fuse.other-files: refuse` rejects: nobody can open or create it. */
export class OtherContent extends PlainContent {
  readonly #events: CaptureEvents
  readonly #path: string
  readonly #reject: Reject

  constructor(files: Files, fd: number, events: CaptureEvents, path: string, reject: Reject) {
    super(files, fd)
    this.#events = events
    this.#path = path
    this.#reject = reject
  }

  override opened(_flags: number, caller: Caller): void {
    throw this.#reject(this.#events, this.#path, caller)
  }
}
