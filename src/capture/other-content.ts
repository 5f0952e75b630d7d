import type { Caller } from '../fuse/content.ts'
import type { Files } from '../util/files.ts'
import { PlainContent } from './contents.ts'
import type { CaptureEvents } from './events.ts'
import { refuseOther } from './refusal.ts'

/** A file that the configuration wants refused: nobody can open it, and one that is created does not come to be. */
export class OtherContent extends PlainContent {
  readonly #events: CaptureEvents
  readonly #path: string

  constructor(files: Files, fd: number, events: CaptureEvents, path: string) {
    super(files, fd)
    this.#events = events
    this.#path = path
  }

  override opened(_flags: number, caller: Caller): void {
    throw refuseOther(this.#events, this.#path, caller)
  }
}
