/** `.primary`, `.lag` and `NAME-pos` on the mount, with what LiteFS writes in them. */

import type { SpecialContent, SpecialFiles } from '../fuse/tree/special-files.ts'
import { formatPosition, type Position } from '../ltx/format/types.ts'

const PRIMARY = '.primary'
const LAG = '.lag'
const POSITION_SUFFIX = '-pos'
/** What LiteFS shows while it does not know the lag. */
const UNKNOWN_LAG_MS = 2 ** 31 - 1

/** The content of the files. The data plane reads all of it at each stat and read. */
export interface SpecialFileSource {
  /** The primary that this node follows; undefined on the primary, and while none is known. */
  primaryHostname(): string | undefined
  /** The lag of this node; 0 on the primary, undefined while it is not known. */
  lagMs(): number | undefined
  /** A database with a committed state, and the time of its last commit; 0 if that was before this node started. */
  database(name: string): { readonly position: Position; readonly lastTimestampMs: number } | undefined
}

export class NodeSpecialFiles implements SpecialFiles {
  readonly #source: SpecialFileSource
  readonly #nowMs: () => number
  readonly #startedMs: number
  #primary: { readonly hostname: string; readonly sinceMs: number } | undefined

  constructor(source: SpecialFileSource, nowMs: () => number = Date.now) {
    this.#source = source
    this.#nowMs = nowMs
    this.#startedMs = nowMs()
  }

  names(path: string): boolean {
    return path.endsWith(POSITION_SUFFIX) || path === PRIMARY || path === LAG
  }

  /** `shop-pos` is an ordinary file as long as there is no database `shop`. */
  reserved(path: string): boolean {
    return path === PRIMARY || path === LAG || this.content(path) !== undefined
  }

  content(path: string): SpecialContent | undefined {
    if (path === PRIMARY) return this.#primaryFile()
    if (path === LAG) return file(formatLag(this.#source.lagMs() ?? UNKNOWN_LAG_MS), this.#nowMs())
    if (!path.endsWith(POSITION_SUFFIX)) return undefined
    const database = this.#source.database(path.slice(0, -POSITION_SUFFIX.length))
    return database && file(formatPosition(database.position), database.lastTimestampMs || this.#startedMs)
  }

  #primaryFile(): SpecialContent | undefined {
    const hostname = this.#source.primaryHostname()
    if (hostname !== this.#primary?.hostname) {
      this.#primary = hostname === undefined ? undefined : { hostname, sinceMs: this.#nowMs() }
    }
    return this.#primary && file(this.#primary.hostname, this.#primary.sinceMs)
  }
}

function file(line: string, modifiedMs: number): SpecialContent {
  return { bytes: Buffer.from(`${line}\n`), modifiedMs }
}

/** Go's `%+010d`: always a sign, negative when the primary's clock is ahead, and at least nine digits. */
function formatLag(ms: number): string {
  const whole = Math.round(ms)
  return (whole < 0 ? '-' : '+') + String(Math.abs(whole)).padStart(9, '0')
}
