import fs from 'node:fs'
import { dirname } from 'node:path'
import type { Announcement } from '../../capture/announcements.ts'
import { HEADER_SIZE, unmarshalHeader } from '../../ltx/header.ts'
import { EMPTY_CHECKSUM, parseChecksum, parsePosition, type Position } from '../../ltx/types.ts'
import { Applier } from '../applier.ts'
import { LogPositions } from './log-positions.ts'
import type { ToClient } from './messages.ts'
import { bytesOfFile, type LtxBytes } from '../transaction.ts'
import { errorCode } from '../../util/errors.ts'

type Advance = Extract<ToClient, { type: 'advance' }>

/** One database of a replica: before each write the data plane hears what must come out of it. */
export class ClientDatabase {
  readonly #name: string
  readonly #path: string
  readonly #announce: (announcement: Announcement) => void
  #positions: readonly Position[] = []
  #applier: Applier | undefined
  #givenIn: 'wal' | 'rollback' | undefined

  constructor(name: string, path: string, announce: (announcement: Announcement) => void) {
    this.#name = name
    this.#path = path
    this.#announce = announce
  }

  /** Where the database is; undefined where nothing tells. Throws ApplyBlockedError, NotDatabaseError. */
  open(positions: readonly Position[]): Position | undefined {
    this.close()
    this.#announce({ op: 'take-up', database: this.#name })
    this.#positions = positions
    // A database with a history and without a file was dropped.
    if (!fs.existsSync(this.#path)) return positions[0]
    const { position } = this.#open()
    return position.txid > 0n ? position : undefined
  }

  /** Throws what Applier.apply does. */
  apply(bytes: LtxBytes, head: Uint8Array): Position {
    const { maxTXID, commit, timestampMs, nodeId } = unmarshalHeader(head)
    const expect = (position: Position) => {
      this.#announce({ op: 'expect', database: this.#name, expectation: { position, timestampMs, nodeId } })
    }
    if (commit === 0) {
      const position = { txid: maxTXID, checksum: EMPTY_CHECKSUM }
      expect(position)
      this.#remove()
      this.#positions = [position]
      return position
    }
    const applier = this.#applier ?? this.#open()
    const { pages, applied, position } = applier.apply(bytes, { before: expect })
    if (applied && pages === 0) this.#announce({ op: 'unchanged', database: this.#name })
    this.#giveToOwner(applier)
    return position
  }

  /** Throws what Applier.apply and Applier.replace do. */
  advance({ file, whole, position: text, preApplyChecksum, timestampMs }: Advance): Position {
    const bytes = bytesOfFile(file)
    const { nodeId } = unmarshalHeader(headOf(file))
    const applier = this.#applier ?? this.#open()
    const replaces = {
      preApplyChecksum: preApplyChecksum === undefined ? 0n : parseChecksum(preApplyChecksum),
    } as const
    const before = (position: Position) => {
      this.#announce({ op: 'take-up', database: this.#name })
      const expectation = { position, timestampMs, nodeId, replaces }
      this.#announce({ op: 'expect', database: this.#name, expectation })
    }
    const expected = text === undefined ? undefined : parsePosition(text)
    const { position } =
      whole && expected !== undefined
        ? applier.replace(bytes, expected, { before })
        : applier.apply(bytes, { before, postApplyChecksum: expected?.checksum })
    this.#giveToOwner(applier)
    return position
  }

  discard(): void {
    this.#announce({ op: 'discard', database: this.#name })
    this.#remove()
  }

  checkpoint(): void {
    this.#applier?.checkpoint()
  }

  close(): void {
    const applier = this.#applier
    this.#applier = undefined
    applier?.close()
  }

  #open(): Applier {
    fs.mkdirSync(dirname(this.#path), { recursive: true })
    this.#applier = Applier.open(this.#path, { positions: new LogPositions(this.#positions), acceptUnknown: true })
    this.#givenIn = undefined
    this.#giveToOwner(this.#applier)
    return this.#applier
  }

  /** Whatever this process has made since the last time: an application may run as another user. */
  #giveToOwner({ journalMode }: Applier): void {
    if (this.#givenIn !== journalMode) giveToOwner(this.#path)
    this.#givenIn = journalMode
  }

  /** Readers that have it open go on with what they have. */
  #remove(): void {
    this.close()
    for (const suffix of ['', '-wal', '-journal', '-shm']) fs.rmSync(this.#path + suffix, { force: true })
  }
}

/** The header of an LTX file. */
export function headOf(path: string): Uint8Array {
  const head = new Uint8Array(HEADER_SIZE)
  const fd = fs.openSync(path, 'r')
  try {
    return head.subarray(0, fs.readSync(fd, head, 0, HEADER_SIZE, 0))
  } finally {
    fs.closeSync(fd)
  }
}

/** To whoever owns the directory. */
function giveToOwner(path: string): void {
  const { uid, gid } = fs.statSync(dirname(path))
  for (const suffix of ['', '-wal', '-shm']) {
    try {
      const own = fs.statSync(path + suffix)
      if (own.uid !== uid || own.gid !== gid) fs.chownSync(path + suffix, uid, gid)
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'EPERM') throw error
    }
  }
}
