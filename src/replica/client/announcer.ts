import fs from 'node:fs'
import { type Announcement, marshalAnnouncements } from '../../capture/announcements.ts'
import type { FilesBeneath } from '../../util/files-beneath.ts'

/** Delivers announcements to the data plane at once, and in order. */
export type Announce = (...announcements: readonly Announcement[]) => void

/** The client's way to the data plane: a file on the mount. */
export class Announcer {
  readonly #fd: number

  /** `files` is the mount. */
  constructor(files: FilesBeneath, path: string) {
    this.#fd = files.open(path, fs.constants.O_WRONLY)
  }

  readonly announce: Announce = (...announcements) => {
    const bytes = marshalAnnouncements(announcements)
    fs.writeSync(this.#fd, bytes, 0, bytes.length, 0)
  }

  close(): void {
    fs.closeSync(this.#fd)
  }
}
