import fs from 'node:fs'
import { Applier } from '../../apply/applier.ts'
import { ApplyBlockedError } from '../../apply/errors.ts'
import type { Steps } from '../../apply/steps.ts'
import { bytesInMemory, type LtxBytes } from '../../apply/transaction.ts'
import type { Announcement } from '../../capture/announcements.ts'
import { giveDatabase, makeFolders, NO_WISH, type OwnerWish, readFileOwner } from '../../data/database-owner.ts'
import { unmarshalHeader } from '../../ltx/format/header.ts'
import { EMPTY_CHECKSUM, parseChecksum, parsePosition, type Position } from '../../ltx/format/types.ts'
import type { FilesBeneath } from '../../util/files-beneath.ts'
import { isNarrower } from '../../util/owner.ts'
import type { Announce } from './announcer.ts'
import { LogPositions } from './log-positions.ts'
import { headOf } from './ltx-head.ts'
import { makeDatabaseFile, removeDatabase, removeObstacles } from './made-file.ts'
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
  #owner = NO_WISH
  /** An existing file has to be given that owner. */
  #isDue = false
  /**
   * The inode number of the file that this database has: one with a history, or that this client made. Any other under
   * its name is somebody else's, who may have it open: nothing is written into it.
   */
  #inode: number | undefined
  /** Users whom its present owner and mode keep out may have opened the file before it had these. */
  #isOpenToOthers = false
  /** The write locks are not let go any more. */
  #isHeld = false
  readonly #owned: (reason: string | undefined) => void

  /** `files` is the mount. `owned` is called when the database was given its owner, or with the reason why not. */
  constructor(name: string, files: FilesBeneath, announce: Announce, owned: (reason: string | undefined) => void) {
    this.#name = name
    this.#owned = owned
    this.#files = files
    this.#path = `${files.root}/${name}`
    this.#announce = announce
  }

  /**
   * The database's position; undefined when it is at none of `positions`. Throws ApplyBlockedError, NotDatabaseError,
   * LinkedNameError, NotRegularError.
   */
  *open(positions: readonly Position[]): Steps<Position | undefined> {
    this.close()
    this.#announce({ op: 'reset', database: this.#name })
    this.#positions = positions
    const [newest] = positions
    const hasContent = newest !== undefined && newest.checksum !== EMPTY_CHECKSUM
    const found = this.#files.status(this.#path)
    this.#inode = hasContent ? found?.ino : undefined
    // A database with a history but without a file was dropped.
    if (this.#inode === undefined) return newest
    const applier = yield* this.#locked()
    this.#unlock(applier)
    const { position } = applier
    return position.txid > 0n ? position : undefined
  }

  /** Throws as Applier.apply. */
  *apply(bytes: LtxBytes, head: Uint8Array): Steps<Position> {
    const { maxTXID, commit } = unmarshalHeader(head)
    if (commit === 0) {
      const position = { txid: maxTXID, checksum: EMPTY_CHECKSUM }
      this.#announce(this.#expectation(position, head))
      this.#remove()
      this.#positions = [position]
      return position
    }
    const applier = yield* this.#locked()
    try {
      const from = applier.position
      const before = (position: Position) => {
        this.#around = [position, from]
        this.#announce(this.#expectation(position, head))
      }
      const { pages, applied, position } = yield* applier.applySteps(bytes, { before })
      if (applied && pages === 0) this.#announce({ op: 'unchanged', database: this.#name })
      return position
    } finally {
      this.#unlock(applier)
    }
  }

  /**
   * Applies as many of these consecutive transactions as fit in one write, at least the first, and returns their
   * number. Throws as Applier.apply, and only because of the first.
   */
  *applyAll(
    bodies: readonly [Uint8Array, ...Uint8Array[]],
  ): Steps<{ readonly count: number; readonly position: Position }> {
    const [first] = bodies
    if (bodies.length === 1 || unmarshalHeader(first).commit === 0) {
      return { count: 1, position: yield* this.apply(bytesInMemory(first), first) }
    }
    const applier = yield* this.#locked()
    try {
      const from = applier.position
      const [firstBytes, ...rest] = bodies.map(bytesInMemory)
      const { count, pages, applied, position } = applier.applyAll([firstBytes as LtxBytes, ...rest], (positions) => {
        this.#around = [from, ...positions].reverse()
        this.#announce(...positions.map((at, i) => this.#expectation(at, bodies[i] as Uint8Array)))
      })
      if (applied && pages === 0) this.#announce({ op: 'unchanged', database: this.#name })
      return { count, position }
    } finally {
      this.#unlock(applier)
    }
  }

  /** Throws as Applier.apply and Applier.replace. */
  *advance(bytes: LtxBytes, order: Advance): Steps<Position> {
    try {
      return yield* this.#advance(bytes, order)
    } catch (error) {
      if (!(error instanceof OpenToOthersError)) throw error
      this.discard()
      return yield* this.#advance(bytes, order)
    }
  }

  /** Throws OpenToOthersError before it has changed anything. */
  *#advance(bytes: LtxBytes, order: Advance): Steps<Position> {
    const { file, whole, position: text, preApplyChecksum, timestampMs } = order
    const { nodeId, commit, pageSize } = unmarshalHeader(headOf(file))
    const replaces = {
      preApplyChecksum: preApplyChecksum === undefined ? 0n : parseChecksum(preApplyChecksum),
    } as const
    const expected = text === undefined ? undefined : parsePosition(text)
    const applier = yield* this.#locked()
    try {
      const from = applier.position
      const before = (position: Position) => {
        // It can be of another file, of the same name: what keeps that one open must not show this one.
        if (whole && this.#isOpenToOthers) throw new OpenToOthersError()
        this.#around = [position, from]
        const expectation = { position, commit, pageSize, timestampMs, nodeId, replaces }
        this.#announce({ op: 'reset', database: this.#name }, { op: 'expect', database: this.#name, expectation })
      }
      // Before there is anything in it that its former owner should not read.
      this.#give()
      const { position } =
        whole && expected !== undefined
          ? yield* applier.replaceSteps(bytes, expected, { before })
          : yield* applier.applySteps(bytes, { before, postApplyChecksum: expected?.checksum })
      return position
    } finally {
      this.#unlock(applier)
    }
  }

  /**
   * The owner that the database has elsewhere. A file without a history may be an application's: it gets the owner when
   * it is replaced.
   */
  own(owner: OwnerWish, news: boolean): void {
    this.#owner = owner
    this.#isDue = news
    if (this.#isThere()) this.#give()
  }

  #expectation(position: Position, head: Uint8Array): Announcement {
    const { timestampMs, nodeId, commit, pageSize } = unmarshalHeader(head)
    return { op: 'expect', database: this.#name, expectation: { position, commit, pageSize, timestampMs, nodeId } }
  }

  discard(): void {
    this.#announce({ op: 'discard', database: this.#name })
    this.#remove()
  }

  /**
   * Copies into the file what is only in the WAL, as far as no reader needs an older state: who reads the file alone, a
   * backup or an analysis, finds everything. False when it has to be tried again.
   */
  *checkpoint(): Steps<boolean> {
    if (this.#applier === undefined) return true
    const applier = yield* this.#usable()
    const result = yield* applier.checkpointSteps()
    // It may have ended WAL mode, where other locks count.
    if (!this.#isHeld) applier.locks.unlockWrites()
    return result?.complete !== false
  }

  /** Takes the write locks for good, but where an application has them: who waits for one waits for `close`. */
  hold(): void {
    this.#isHeld = true
    if (this.#applier?.status.isUsable !== true) return
    try {
      this.#applier.locks.lockWrites()
    } catch (error) {
      if (!(error instanceof ApplyBlockedError)) throw error
    }
  }

  close(): void {
    const applier = this.#applier
    this.#applier = undefined
    applier?.close()
  }

  /**
   * Applications may take the write locks at any other time: the data plane rejects what they write, so they learn at
   * once that they cannot.
   */
  *#locked(): Steps<Applier> {
    const applier = yield* this.#usable()
    applier.locks.lockWrites()
    return applier
  }

  #unlock(applier: Applier): void {
    if (!this.#isHeld) applier.locks.unlockWrites()
  }

  /**
   * The applier. It is opened if there is none, and anew if a write has failed half-way, as on a full disk: that
   * recovers the database as after a crash, to one of the positions around that write.
   */
  *#usable(): Steps<Applier> {
    if (this.#applier?.status.isUsable !== false) return this.#applier ?? (yield* this.#open())
    this.#positions = [...this.#around, ...this.#positions]
    this.#around = []
    // What was announced for that write would be taken for the result of the rollback.
    this.#announce({ op: 'reset', database: this.#name })
    // Until the file is open again, no other gets its inode number.
    const held = this.#isThere() ? this.#files.open(this.#path, fs.constants.O_RDONLY) : undefined
    try {
      this.close()
      return yield* this.#open()
    } finally {
      if (held !== undefined) fs.closeSync(held)
    }
  }

  *#open(): Steps<Applier> {
    const reason = makeFolders(this.#files, this.#files.root, this.#name, this.#owner)
    const make = this.#isThere() ? undefined : () => this.#create(reason)
    const positions = new LogPositions(this.#positions)
    const options = { positions, files: this.#files, acceptUnknown: true, make }
    const applier = yield* Applier.openSteps(this.#path, options)
    this.#applier = applier
    return applier
  }

  /** Whether the database's own file is under its name. */
  #isThere(): boolean {
    return this.#inode !== undefined && this.#files.status(this.#path)?.ino === this.#inode
  }

  /** `reason`: why the directories above it were not given away. */
  #create(reason: string | undefined): number {
    const { fd, notGiven = reason } = makeDatabaseFile(this.#files, this.#path, this.#owner)
    this.#inode = fs.fstatSync(fd).ino
    this.#isOpenToOthers = false
    this.#given(notGiven)
    return fd
  }

  #give(): void {
    if (!this.#isDue) return
    const former = readFileOwner(this.#files, this.#path)
    const notGiven = giveDatabase(this.#files, this.#path, this.#owner)
    const now = readFileOwner(this.#files, this.#path)
    if (former !== undefined && now !== undefined && isNarrower(now, former)) this.#isOpenToOthers = true
    this.#given(notGiven)
  }

  #given(reason: string | undefined): void {
    this.#isDue = false
    this.#owned(reason)
  }

  removeObstacles(): void {
    removeObstacles(this.#files, this.#path)
  }

  /** Readers with the database open continue to read the removed files. Throws NotRegularError. */
  #remove(): void {
    this.close()
    this.#inode = undefined
    removeDatabase(this.#files, this.#path)
  }
}

/** A snapshot needs a new file. */
class OpenToOthersError extends Error {}
