import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { dirname } from 'node:path'
import { type Checksum, formatPosition, parsePosition, type Position } from '../ltx/format/types.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import { LtxdError } from '../util/errors.ts'
import { nodeFiles, readerOf } from '../util/files.ts'
import { type FilesBeneath, filesBeneath } from '../util/files-beneath.ts'
import { assertFormat } from '../util/format-number.ts'

/** A record of a database's recent positions. */
export interface Positions {
  /** The last position that was noted. */
  readonly last: Position | undefined
  /** The newest recorded position with this checksum. */
  find(checksum: Checksum): Position | undefined
  /** The checksum after a transaction, if its position is on record. */
  checksumAt(txid: bigint): Checksum | undefined
  /** Notes a position *before* the database reaches it. With `durable`, the note survives a power loss. */
  note(position: Position, durable: boolean): void
  sync(): void
}

/** Another process already follows a backup into the same file. */
export class FollowedAlreadyError extends LtxdError {
  constructor(path: string, lockPath: string) {
    super(
      'FOLLOWED_ALREADY',
      `another process already follows into ${path} (it holds the lock on ${lockPath}). Stop it first, or choose another file`,
    )
  }
}

/** The record of positions may be another user's, who could truncate another file through it, or invent positions. */
export class ForeignPositionsError extends LtxdError {
  constructor(path: string, problem: string) {
    super('FOLLOW_FOREIGN_FILE', `${path} ${problem}. Nothing was changed: look who made it, and remove it`)
  }
}

/** How many lines the file has at most. */
export const MAX_POSITIONS = 1024
const LINE_SIZE = 34
/** The format of a file that is bound to the database file that it is for. */
const FORMAT = 2
/** What binds it takes the place of so many positions, which version 0.1 ignores. */
const HEADER_LINES = 3
const HEADER_SIZE = HEADER_LINES * LINE_SIZE

/**
 * The last positions of a database, in a small file beside it. A transaction's position is written before the
 * transaction. Whatever a crash leaves in the database, the file holds its checksum and so tells its position: nothing
 * has to be written atomically with the database. The file is a ring of lines, each a TXID, a check character and a
 * checksum. A torn or damaged line is ignored. Version 0.1 wrote a slash for the check character. Before the ring, a
 * line with the number of the format says which database file this is for: whoever may write to the directory can
 * rename either. Files of format 1 do not say it. While the file is open, it is locked against a second follower.
 */
export class PositionFile implements Positions {
  readonly path: string
  readonly #fd: number
  readonly #byChecksum = new Map<Checksum, Position>()
  readonly #slots: (Position | undefined)[] = []
  #next = 0
  #binding: string | undefined
  last: Position | undefined

  /** `files` opens it. Throws FollowedAlreadyError, LinkedNameError, ForeignPositionsError, UnknownFormatError. */
  static open(databasePath: string, files: FilesBeneath = filesBeneath(dirname(databasePath))): PositionFile {
    const path = positionsPath(databasePath)
    const fd = files.open(path, fs.constants.O_RDWR | fs.constants.O_CREAT)
    try {
      assertOwn(path, fs.fstatSync(fd), files)
      if (!new RangeLocks(fd).exclusive(0)) throw new FollowedAlreadyError(databasePath, path)
      // Another follower has removed it before it released the lock.
      const isRemoved = fs.fstatSync(fd).nlink === 0
      if (!isRemoved) return new PositionFile(path, fd)
    } catch (error) {
      nodeFiles.close(fd)
      throw error
    }
    nodeFiles.close(fd)
    return PositionFile.open(databasePath, files)
  }

  private constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
    const text = Buffer.from(readerOf(nodeFiles, fd)(0, MAX_POSITIONS * LINE_SIZE)).toString('latin1')
    this.#binding = parseHeader(path, text)
    this.#next = this.#first
    for (let slot = this.#first; slot * LINE_SIZE < text.length; slot++) {
      const position = parseLine(text.slice(slot * LINE_SIZE, (slot + 1) * LINE_SIZE))
      this.#setSlot(slot, position)
      if (position !== undefined && (this.last === undefined || position.txid >= this.last.txid)) {
        this.last = position
        this.#next = this.#after(slot)
      }
    }
  }

  /** The slot in which the ring begins. */
  get #first(): number {
    return this.#binding === undefined ? 0 : HEADER_LINES
  }

  #after(slot: number): number {
    return slot + 1 < MAX_POSITIONS ? slot + 1 : this.#first
  }

  /** Nothing was ever noted. */
  get isEmpty(): boolean {
    return fs.fstatSync(this.#fd).size === 0
  }

  /** Nobody but this user wrote it. Otherwise it is the directory's owner's. */
  get isOwn(): boolean {
    return fs.fstatSync(this.#fd).uid === process.geteuid?.()
  }

  /** Whether it is for the file of this status, which is in the same file system, and of this `bindingOf`. */
  isBoundTo(binding: string, { dev }: fs.Stats): boolean {
    return this.#binding === binding && fs.fstatSync(this.#fd).dev === dev
  }

  find(checksum: Checksum): Position | undefined {
    return this.#byChecksum.get(checksum)
  }

  checksumAt(txid: bigint): Checksum | undefined {
    return this.#slots.find((position) => position?.txid === txid)?.checksum
  }

  note(position: Position, durable: boolean): void {
    if (this.last?.txid !== position.txid || this.last.checksum !== position.checksum) {
      const line = Buffer.from(formatLine(position), 'latin1')
      nodeFiles.write(this.#fd, line, 0, line.length, this.#next * LINE_SIZE)
      this.#setSlot(this.#next, position)
      this.#next = this.#after(this.#next)
      this.last = position
    }
    if (durable) this.sync()
  }

  /**
   * Removes all positions and notes `position`: a new history begins, in which old transaction numbers repeat.
   * `binding`: see bindingOf.
   */
  reset(position: Position | undefined, binding?: string): void {
    nodeFiles.truncate(this.#fd, 0)
    this.#byChecksum.clear()
    this.#slots.length = 0
    this.#binding = binding
    this.#next = this.#first
    this.last = undefined
    if (binding !== undefined) {
      nodeFiles.write(this.#fd, Buffer.from(formatHeader(binding), 'latin1'), 0, HEADER_SIZE, 0)
    }
    if (position !== undefined) this.note(position, false)
    this.sync()
  }

  sync(): void {
    nodeFiles.sync(this.#fd)
  }

  /** Releases the lock. */
  close(): void {
    nodeFiles.close(this.#fd)
  }

  #setSlot(slot: number, position: Position | undefined): void {
    const old = this.#slots[slot]
    if (old !== undefined && this.#byChecksum.get(old.checksum) === old) this.#byChecksum.delete(old.checksum)
    this.#slots[slot] = position
    if (position === undefined) return
    const same = this.#byChecksum.get(position.checksum)
    if (same === undefined || same.txid <= position.txid) this.#byChecksum.set(position.checksum, position)
  }
}

/** Who owns the directory can replace everything in it, and may have followed before. */
function assertOwn(path: string, { uid, nlink }: fs.Stats, files: FilesBeneath): void {
  if (nlink > 1) throw new ForeignPositionsError(path, 'is a hard link to a file that has another name, too')
  if (uid === process.geteuid?.() || uid === files.status(files.root)?.uid) return
  throw new ForeignPositionsError(path, `belongs to user ${uid}, neither to this one nor to the directory's owner`)
}

export function positionsPath(databasePath: string): string {
  return `${databasePath}-ltxd`
}

/** What a file is bound to. The parts tell one database file from every other in the file system. */
export function bindingOf(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

function formatHeader(binding: string): string {
  return `ltxd positions ${FORMAT} ${binding}`.padEnd(HEADER_SIZE - 1) + '\n'
}

/** undefined where nothing valid says what the file is for. */
function parseHeader(path: string, text: string): string | undefined {
  const header = text.slice(0, HEADER_SIZE)
  const [, format] = /^ltxd positions (\d{1,9}) /.exec(header) ?? []
  if (format !== undefined) assertFormat(path, { format: Number(format) }, [FORMAT])
  return /^ltxd positions 2 ([0-9a-f]{64}) *\n$/.exec(header)?.[1]
}

function formatLine(position: Position): string {
  const text = formatPosition(position)
  return `${text.slice(0, 16)}${checkOf(text)}${text.slice(17)}\n`
}

function parseLine(line: string): Position | undefined {
  const [, txid, check, checksum] = /^([0-9a-f]{16})(.)([0-9a-f]{16})\n$/.exec(line) ?? []
  const text = `${txid}/${checksum}`
  return check === '/' || (check !== undefined && check === checkOf(text)) ? parsePosition(text) : undefined
}

const CHECKS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Differs from the check of a text in which any one bit is flipped: each bit has a number that is not 0. */
function checkOf(text: string): string {
  let sum = 0
  for (let at = 0; at < text.length * 8; at++) {
    if (((text.charCodeAt(at >> 3) >> (at & 7)) & 1) === 1) sum ^= 1 + (at % 63)
  }
  return CHECKS[sum] as string
}
