import fs from 'node:fs'
import { dirname } from 'node:path'
import { Applier } from '../../apply/applier.ts'
import { bytesInMemory, bytesOfFile, type LtxBytes } from '../../apply/transaction.ts'
import type { Announcement } from '../../capture/announcements.ts'
import { HEADER_SIZE, unmarshalHeader } from '../../ltx/format/header.ts'
import { EMPTY_CHECKSUM, parseChecksum, parsePosition, type Position } from '../../ltx/format/types.ts'
import { BY_UMASK } from '../../util/directories.ts'
import { errorCode } from '../../util/errors.ts'
import type { FilesBeneath } from '../../util/files-beneath.ts'
import type { Announce } from './announcer.ts'
import { LogPositions } from './log-positions.ts'
import type { ToClient } from './messages.ts'

type Advance = Extract<ToClient, { type: 'advance' }>

/** One database of a replica. Each write is preceded by an announcement of its result to the data plane. */
export class ClientDatabase {
  readonly #name: string
  readonly #files: FilesBeneath
  readonly #path: string
  readonly #announce: Announce
  #positions: readonly Position[] = []
  #applier: Applier | undefined
  /** Those that the last write leads to, newest first, and the one before it. */
  #around: readonly Position[] = []

  /** `files` is the mount. */
  constructor(name: string, files: FilesBeneath, announce: Announce) {
    this.#name = name
    this.#files = files
    this.#path = `${files.root}/${name}`
    this.#announce = announce
  }

  /**
   * The database's position; undefined when it is at none of `positions`. Throws ApplyBlockedError, NotDatabaseError,
   * LinkedNameError, NotRegularError.
   */
  open(positions: readonly Position[]): Position | undefined {
    this.close()
    this.#announce({ op: 'reset', database: this.#name })
    this.#positions = positions
    // A database with a history but without a file was dropped.
    if (this.#files.status(this.#path) === undefined) return positions[0]
    const { position } = this.#open()
    return position.txid > 0n ? position : undefined
  }

  /** Throws as Applier.apply. */
  apply(bytes: LtxBytes, head: Uint8Array): Position {
    const { maxTXID, commit } = unmarshalHeader(head)
    if (commit === 0) {
      const position = { txid: maxTXID, checksum: EMPTY_CHECKSUM }
      this.#announce(this.#expectation(position, head))
      this.#remove()
      this.#positions = [position]
      return position
    }
    const applier = this.#usable()
    const from = applier.position
    const before = (position: Position) => {
      this.#around = [position, from]
      this.#announce(this.#expectation(position, head))
    }
    const { pages, applied, position } = applier.apply(bytes, { before })
    if (applied && pages === 0) this.#announce({ op: 'unchanged', database: this.#name })
    return position
  }

  /**
   * Applies as many of these consecutive transactions as fit in one write, at least the first, and returns their
   * number. Throws as Applier.apply, and only because of the first.
   */
  applyAll(bodies: readonly [Uint8Array, ...Uint8Array[]]): { readonly count: number; readonly position: Position } {
    const [first] = bodies
    if (bodies.length === 1 || unmarshalHeader(first).commit === 0) {
      return { count: 1, position: this.apply(bytesInMemory(first), first) }
    }
    const applier = this.#usable()
    const from = applier.position
    const [firstBytes, ...rest] = bodies.map(bytesInMemory)
    const { count, pages, applied, position } = applier.applyAll([firstBytes as LtxBytes, ...rest], (positions) => {
      this.#around = [from, ...positions].reverse()
      this.#announce(...positions.map((at, i) => this.#expectation(at, bodies[i] as Uint8Array)))
    })
    if (applied && pages === 0) this.#announce({ op: 'unchanged', database: this.#name })
    return { count, position }
  }

  /** Throws as Applier.apply and Applier.replace. */
  advance({ file, whole, position: text, preApplyChecksum, timestampMs }: Advance): Position {
    const bytes = bytesOfFile(file)
    const { nodeId, commit } = unmarshalHeader(headOf(file))
    const applier = this.#usable()
    const replaces = {
      preApplyChecksum: preApplyChecksum === undefined ? 0n : parseChecksum(preApplyChecksum),
    } as const
    const from = applier.position
    const before = (position: Position) => {
      this.#around = [position, from]
      const expectation = { position, commit, timestampMs, nodeId, replaces }
      this.#announce({ op: 'reset', database: this.#name }, { op: 'expect', database: this.#name, expectation })
    }
    const expected = text === undefined ? undefined : parsePosition(text)
    const { position } =
      whole && expected !== undefined
        ? applier.replace(bytes, expected, { before })
        : applier.apply(bytes, { before, postApplyChecksum: expected?.checksum })
    return position
  }

  #expectation(position: Position, head: Uint8Array): Announcement {
    const { timestampMs, nodeId, commit } = unmarshalHeader(head)
    return { op: 'expect', database: this.#name, expectation: { position, commit, timestampMs, nodeId } }
  }

  discard(): void {
    this.#announce({ op: 'discard', database: this.#name })
    this.#remove()
  }

  /**
   * Copies into the file what is only in the WAL, as far as no reader needs an older state: who reads the file alone, a
   * backup or an analysis, finds everything. False when it has to be tried again.
   */
  checkpoint(): boolean {
    return this.#applier === undefined || this.#usable().checkpoint()?.complete !== false
  }

  close(): void {
    const applier = this.#applier
    this.#applier = undefined
    applier?.close()
  }

  /**
   * The applier. It is opened if there is none, and anew if a write has failed half-way, as on a full disk: that
   * recovers the database as after a crash, to one of the positions around that write.
   */
  #usable(): Applier {
    if (this.#applier?.status.isUsable !== false) return this.#applier ?? this.#open()
    this.#positions = [...this.#around, ...this.#positions]
    this.#around = []
    this.close()
    return this.#open()
  }

  #open(): Applier {
    this.#files.makeDirectory(dirname(this.#path), BY_UMASK)
    // Before the files beside it are made, which get the owner of the database (DatabaseFile.openBeside).
    this.#giveToDirectorysOwner()
    const positions = new LogPositions(this.#positions)
    this.#applier = Applier.open(this.#path, { positions, files: this.#files, acceptUnknown: true })
    this.#giveToDirectorysOwner()
    return this.#applier
  }

  /**
   * An application may run as another user than this process, so a database that this process has created belongs to
   * the owner of its directory. A file of a third user stays that user's.
   */
  #giveToDirectorysOwner(): void {
    const own = process.geteuid?.() ?? 0
    const directory = this.#files.status(dirname(this.#path))
    if (directory === undefined || directory.uid === own) return
    try {
      if (this.#files.status(this.#path)?.uid === own) {
        this.#files.changeOwner(this.#path, own, directory.uid, directory.gid)
      }
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'EPERM') throw error
    }
  }

  /** Readers with the database open continue to read the removed files. */
  #remove(): void {
    this.close()
    for (const suffix of ['', '-wal', '-journal', '-shm']) this.#files.remove(this.#path + suffix)
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
