import fs from 'node:fs'
import { promisify } from 'node:util'
import { LTXError } from '../ltx/format/errors.ts'
import { HEADER_SIZE, TRAILER_SIZE, unmarshalHeader } from '../ltx/format/header.ts'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { formatTXID, nextTXID } from '../ltx/format/types.ts'
import { syncDirectory } from '../util/directories.ts'
import type { Files } from '../util/files.ts'
import type { FilesBeneath } from '../util/files-beneath.ts'
import { CorruptLogError, LogGapError, LogUnsyncedError } from './errors.ts'
import { readRecordFrame, RECORD_FRAME_SIZE } from './record.ts'
import type { SegmentName } from './segments.ts'
import { listSegments } from './segments.ts'
import { ZERO_POSITION } from './store.ts'
import type { LogRecord, LogView } from './view.ts'

const fdatasync = promisify(fs.fdatasync)

const WINDOW_SIZE = 1 << 20
/** Most reads need only the newest record. */
const FIRST_WINDOW_SIZE = 1 << 17
/** Idle buffers. Allocating one for each commit would cause a garbage collection at every sixtieth. */
const spareBuffers: Uint8Array[] = []
const MAX_SPARE_BUFFERS = 8
/** Records up to this size are returned from memory. */
const SMALL_RECORD = 1 << 16
/** The reader marks one record in this many, so that a later read need not scan the segment from its start. */
const MARK_EVERY = 64

/** Where a record begins. */
interface Mark {
  readonly txid: TXID
  readonly segment: TXID
  readonly at: number
}

/**
 * Reads a log that the data plane appends to. It shows nothing beyond the position that the data plane has published,
 * so it never meets an incomplete record.
 */
export class LogReader implements LogView {
  readonly database: string
  readonly #dir: string
  readonly #published: () => Position
  readonly #files: FilesBeneath
  /** Marked records, by ascending TXID. */
  #marks: Mark[] = []
  /** Where the last read ended and the next one usually begins. */
  #tail: Mark | undefined
  /** Finished segments that were fsynced: nothing is appended to them any more. */
  readonly #durable = new Set<string>()
  /** A failed fsync of a segment. A later success would prove nothing, unless its writer has written it anew. */
  #unsynced: { readonly error: LogUnsyncedError; readonly path: string; readonly ino: number } | undefined
  /** The newest segment whose directory entry is durable. */
  #durableName: string | undefined
  #durableUpTo: Position = ZERO_POSITION

  constructor(files: FilesBeneath, database: string, dir: string, published: () => Position) {
    this.database = database
    this.#dir = dir
    this.#published = published
    this.#files = files
  }

  async first(): Promise<TXID | undefined> {
    const first = listSegments(this.#files, this.#dir)[0]?.first
    return first !== undefined && first <= this.#published().txid ? first : undefined
  }

  position(): Position {
    return this.#published()
  }

  async sync(): Promise<Position> {
    const unsynced = this.#unsynced
    if (unsynced !== undefined && this.#files.status(unsynced.path)?.ino === unsynced.ino) throw unsynced.error
    this.#unsynced = undefined
    const position = this.#published()
    const segments = listSegments(this.#files, this.#dir)
    for (const [i, { path }] of segments.entries()) {
      if (this.#durable.has(path)) continue
      await this.#syncSegment(path)
      if (i < segments.length - 1) this.#durable.add(path)
    }
    const newest = segments.at(-1)?.path
    if (this.#durableName !== newest) await syncDirectory(this.#files.at(this.#dir))
    this.#durableName = newest
    this.#durableUpTo = position
    return position
  }

  durable(): Position {
    return this.#durableUpTo
  }

  async *records(from: TXID, to: TXID): AsyncIterable<LogRecord> {
    const end = to < this.#published().txid ? to : this.#published().txid
    if (from > end) return
    const segments = listSegments(this.#files, this.#dir)
    let index = segments.findLastIndex(({ first }) => first <= from)
    if (index < 0) throw new LogGapError(this.database, formatTXID(from), formatTXID(segments[0]?.first ?? end))
    let previous: LogRecord | undefined
    for (; index < segments.length; index++) {
      const segment = segments[index] as SegmentName
      if (segment.first > end) return
      for await (const record of this.#recordsOf(segment, from, end)) {
        if (previous !== undefined) assertFollows(segment, previous, record)
        yield record
        previous = record
      }
    }
  }

  async *#recordsOf(segment: SegmentName, from: TXID, to: TXID): AsyncIterable<LogRecord> {
    const window = new Window(this.#files, segment.path)
    try {
      let at = this.#startOf(segment, from, window)
      for (let seen = 0; ; seen++) {
        const head = window.view(at, RECORD_FRAME_SIZE + HEADER_SIZE)
        if (head.length === 0) return
        const sizeBytes = readRecordFrame(head)
        if (sizeBytes === undefined) {
          throw new CorruptLogError(segment.path, at, 'expected a record among transactions already published')
        }
        const header = unmarshalHeader(head.subarray(RECORD_FRAME_SIZE))
        if (header.minTXID > to) return
        if (seen % MARK_EVERY === MARK_EVERY - 1) this.#mark(header.minTXID, segment.first, at)
        const offset = at + RECORD_FRAME_SIZE
        if (header.minTXID >= from) {
          const trailer = window.view(offset + sizeBytes - TRAILER_SIZE, TRAILER_SIZE)
          const postApplyChecksum = new DataView(trailer.buffer, trailer.byteOffset).getBigUint64(0) as Checksum
          const small = sizeBytes <= SMALL_RECORD ? window.view(offset, sizeBytes).slice() : undefined
          const bytes = () =>
            small === undefined ? readBytes(this.#files, segment.path, offset, sizeBytes) : once(small)
          yield { header, postApplyChecksum, sizeBytes, bytes }
        }
        at = offset + sizeBytes
        if (header.maxTXID >= to) {
          this.#tail = { txid: nextTXID(header.maxTXID), segment: segment.first, at }
          return
        }
      }
    } finally {
      window.close()
    }
  }

  /**
   * Only the fsync runs on another thread: each asynchronous step costs two thread switches on the path of every commit
   * to the replicas.
   */
  async #syncSegment(path: string): Promise<void> {
    const fd = this.#files.open(path, fs.constants.O_RDONLY)
    try {
      await fdatasync(fd)
    } catch (error) {
      const unsynced = { error: new LogUnsyncedError(this.#dir, error), path, ino: fs.fstatSync(fd).ino }
      this.#unsynced = unsynced
      throw unsynced.error
    } finally {
      fs.closeSync(fd)
    }
  }

  /** The offset of the nearest known record, if it is still there: the log may have been replaced. */
  #startOf(segment: SegmentName, from: TXID, window: Window): number {
    const tail = this.#tail
    if (tail?.segment === segment.first && tail.txid === from && exists(tail, window)) return tail.at
    const mark = this.#marks.findLast((it) => it.segment === segment.first && it.txid <= from)
    if (mark === undefined) return 0
    if (exists(mark, window)) return mark.at
    this.#marks = []
    return 0
  }

  #mark(txid: TXID, segment: TXID, at: number): void {
    const last = this.#marks.at(-1)
    if (last !== undefined && last.txid >= txid) return
    this.#marks.push({ txid, segment, at })
    if (this.#marks.length > 4096) this.#marks = this.#marks.filter((_, i) => i % 2 === 1)
  }
}

/** I2, as whoever ships or streams the log relies on it. A log that was replaced meanwhile does not follow either. */
function assertFollows({ path }: SegmentName, previous: LogRecord, { header }: LogRecord): void {
  const { minTXID, preApplyChecksum } = header
  if (minTXID === nextTXID(previous.header.maxTXID) && preApplyChecksum === previous.postApplyChecksum) return
  throw new CorruptLogError(
    path,
    0,
    `transaction ${formatTXID(minTXID)} does not follow ${formatTXID(previous.header.maxTXID)} by number and checksum`,
  )
}

function exists({ txid, at }: Mark, window: Window): boolean {
  const head = window.view(at, RECORD_FRAME_SIZE + HEADER_SIZE)
  return readRecordFrame(head) !== undefined && minTXIDOf(head.subarray(RECORD_FRAME_SIZE)) === txid
}

function minTXIDOf(header: Uint8Array): TXID | undefined {
  try {
    return unmarshalHeader(header).minTXID
  } catch (error) {
    if (error instanceof LTXError) return undefined
    throw error
  }
}

/** A window of a segment in memory, moved along as it is read. */
class Window {
  readonly #files: Files
  readonly #fd: number
  #buffer = spareBuffers.pop() ?? new Uint8Array(FIRST_WINDOW_SIZE)
  #start = 0
  #length = 0

  constructor(files: Files, path: string) {
    this.#files = files
    this.#fd = files.open(path, fs.constants.O_RDONLY)
  }

  /** The bytes at `at`, valid until the next call. Empty at the end of the file. */
  view(at: number, length: number): Uint8Array {
    if (at < this.#start || at + length > this.#start + this.#length) {
      const isLong = this.#length === this.#buffer.length || length > this.#buffer.length
      if (isLong && this.#buffer.length < WINDOW_SIZE) this.#grow()
      this.#start = at
      this.#length = this.#files.read(this.#fd, this.#buffer, 0, this.#buffer.length, at)
    }
    const from = at - this.#start
    return this.#buffer.subarray(from, Math.min(from + length, this.#length))
  }

  close(): void {
    this.#files.close(this.#fd)
    this.#release()
  }

  #grow(): void {
    this.#release()
    this.#buffer = new Uint8Array(WINDOW_SIZE)
  }

  #release(): void {
    if (this.#buffer.length === FIRST_WINDOW_SIZE && spareBuffers.length < MAX_SPARE_BUFFERS) {
      spareBuffers.push(this.#buffer)
    }
    this.#buffer = NO_BYTES
    this.#length = 0
  }
}

const NO_BYTES = new Uint8Array(0)

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

async function* readBytes(
  files: FilesBeneath,
  path: string,
  offset: number,
  sizeBytes: number,
): AsyncIterable<Uint8Array> {
  const handle = await fs.promises.open(files.at(path), 'r')
  try {
    for (let done = 0; done < sizeBytes;) {
      const chunk = new Uint8Array(Math.min(WINDOW_SIZE / 4, sizeBytes - done))
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, offset + done)
      if (bytesRead === 0)
        throw new CorruptLogError(path, offset + done, 'the file ends inside a published transaction')
      done += bytesRead
      yield chunk.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}
