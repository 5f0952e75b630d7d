import fs from 'node:fs'
import type { Files } from '../util/files.ts'

/** The segment at the end of a log: whether or not it is open, this is where its next record goes. */
export interface Segment {
  readonly path: string
  readonly files: Files
  /** -1 while it is closed. */
  fd: number
  end: number
}

/**
 * The segments that are open for appending, across logs: opened when something is written to them, and at most so many, or a node of a thousand databases
 * would need a thousand descriptors. The one that was used longest ago is closed, without an fsync, which would be another database's to wait for:
 * its writer remembers that it is not synced, and an fsync through another descriptor reaches the same pages.
 */
export class OpenSegments {
  private readonly limit: number
  private readonly open = new Set<Segment>()
  private latest: Segment | undefined

  constructor(limit: number) {
    this.limit = limit
  }

  /** Its descriptor, valid until another segment is used. */
  use(segment: Segment): number {
    if (segment === this.latest) return segment.fd
    if (segment.fd < 0) {
      const [oldest] = this.open
      if (oldest !== undefined && this.open.size >= this.limit) this.close(oldest)
      segment.fd = segment.files.open(segment.path, fs.constants.O_RDWR)
    }
    this.open.delete(segment)
    this.open.add(segment)
    this.latest = segment
    return segment.fd
  }

  /** The descriptor becomes the caller's, to be closed by it. */
  release(segment: Segment): number {
    const fd = this.use(segment)
    this.forget(segment)
    return fd
  }

  close(segment: Segment): void {
    const { fd, files } = segment
    if (fd < 0) return
    this.forget(segment)
    files.close(fd)
  }

  private forget(segment: Segment): void {
    this.open.delete(segment)
    if (this.latest === segment) this.latest = undefined
    segment.fd = -1
  }
}
