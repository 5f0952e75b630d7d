import fs from 'node:fs'
import { type Checksum, formatPosition, parsePosition, type Position } from '../ltx/format/types.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import { LtxdError } from '../util/errors.ts'
import { nodeFiles, readerOf } from '../util/files.ts'

/** Where the positions of a database are remembered. */
export interface Positions {
  /** The one noted last. */
  readonly last: Position | undefined
  /** The newest with this checksum, among the last few hundred. */
  find(checksum: Checksum): Position | undefined
  /** The checksum after a transaction, if it is among them. */
  checksumAt(txid: bigint): Checksum | undefined
  /** Notes a position *before* the database gets there; when `durable`, a power loss does not take it back. */
  note(position: Position, durable: boolean): void
  sync(): void
}

/** Another process follows into the same file. */
export class FollowedAlreadyError extends LtxdError {
  constructor(path: string, lockPath: string) {
    super(
      'FOLLOWED_ALREADY',
      `another process keeps ${path} in step (it holds the lock on ${lockPath}): stop it first, or follow into another file`,
    )
  }
}

/** How many positions are kept; a power of two. */
export const POSITIONS_KEPT = 1024
const LINE_SIZE = 34

/**
 * The last positions of a database, in a small file beside it. A transaction's position is written before the
 * transaction, so whatever a crash leaves in the database, its checksum is found here and says how far it got: nothing
 * has to be written at the same moment as the database. Lines of `txid/checksum`, over which it goes round and round;
 * one that was torn is none. Locked against a second follower while it is open.
 */
export class PositionFile implements Positions {
  readonly path: string
  readonly #fd: number
  readonly #byChecksum = new Map<Checksum, Position>()
  readonly #slots: (Position | undefined)[] = []
  #next = 0
  last: Position | undefined

  /** Throws FollowedAlreadyError. */
  static open(databasePath: string): PositionFile {
    const path = positionsPath(databasePath)
    const fd = nodeFiles.open(path, fs.constants.O_RDWR | fs.constants.O_CREAT)
    try {
      if (!new RangeLocks(fd).exclusive(0)) throw new FollowedAlreadyError(databasePath, path)
      return new PositionFile(path, fd)
    } catch (error) {
      nodeFiles.close(fd)
      throw error
    }
  }

  private constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
    const text = Buffer.from(readerOf(nodeFiles, fd)(0, POSITIONS_KEPT * LINE_SIZE)).toString('latin1')
    for (let slot = 0; slot * LINE_SIZE < text.length; slot++) {
      const position = parseLine(text.slice(slot * LINE_SIZE, (slot + 1) * LINE_SIZE))
      this.#remember(slot, position)
      if (position !== undefined && (this.last === undefined || position.txid >= this.last.txid)) {
        this.last = position
        this.#next = (slot + 1) % POSITIONS_KEPT
      }
    }
  }

  find(checksum: Checksum): Position | undefined {
    return this.#byChecksum.get(checksum)
  }

  checksumAt(txid: bigint): Checksum | undefined {
    return this.#slots.find((position) => position?.txid === txid)?.checksum
  }

  note(position: Position, durable: boolean): void {
    if (this.last?.txid !== position.txid || this.last.checksum !== position.checksum) {
      const line = Buffer.from(`${formatPosition(position)}\n`, 'latin1')
      nodeFiles.write(this.#fd, line, 0, line.length, this.#next * LINE_SIZE)
      this.#remember(this.#next, position)
      this.#next = (this.#next + 1) % POSITIONS_KEPT
      this.last = position
    }
    if (durable) this.sync()
  }

  /** Forgets all but one: another history begins, in which old transaction numbers come again. */
  startOver(position: Position | undefined): void {
    nodeFiles.truncate(this.#fd, 0)
    this.#byChecksum.clear()
    this.#slots.length = 0
    this.#next = 0
    this.last = undefined
    if (position !== undefined) this.note(position, false)
    this.sync()
  }

  sync(): void {
    nodeFiles.sync(this.#fd)
  }

  /** Gives up the lock. */
  close(): void {
    nodeFiles.close(this.#fd)
  }

  #remember(slot: number, position: Position | undefined): void {
    const gone = this.#slots[slot]
    if (gone !== undefined && this.#byChecksum.get(gone.checksum) === gone) this.#byChecksum.delete(gone.checksum)
    this.#slots[slot] = position
    if (position === undefined) return
    const same = this.#byChecksum.get(position.checksum)
    if (same === undefined || same.txid <= position.txid) this.#byChecksum.set(position.checksum, position)
  }
}

export function positionsPath(databasePath: string): string {
  return `${databasePath}-ltxd`
}

function parseLine(line: string): Position | undefined {
  if (line.length !== LINE_SIZE || !/^[0-9a-f]{16}\/[0-9a-f]{16}\n$/.test(line)) return undefined
  return parsePosition(line.trimEnd())
}
