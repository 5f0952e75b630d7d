import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { finishReplacements } from '../log/replace.ts'
import { WRITABLE_BY_OWNER } from '../util/directories.ts'
import { describeChange, describeOwner } from '../util/directory-modes.ts'
import { errorCode, errorMessage, LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { type FilesBeneath, filesBeneath, LinkedNameError, NotRegularError } from '../util/files-beneath.ts'
import { findDirectory, makeNamedDirectory } from '../util/named-directory.ts'
import { type Modes, PRIVATE } from '../util/private-files.ts'
import { readState, StateDamagedError, writeState } from '../util/state-file.ts'
import { assertOwn } from './foreign-owner.ts'
import { KnownNodes } from './known-nodes.ts'
import { lockDirectory, lockToRead } from './lock-file.ts'
import { applyDataModes, assertNotMoved } from './moved-here.ts'
import { finishRestored } from './restored.ts'
import { MAX_TERM, termText } from './term.ts'

/** A node's data directory, locked against a second daemon while it is open. */
export interface DataDirectory {
  readonly dir: string
  /** Another path of it, which leads there whatever is renamed above it, until `close`. `dir` is for messages. */
  readonly at: string
  /** By which it is held, for another process. */
  readonly descriptor: number
  /** The directory that the mount shows. After a clean stop it holds plain SQLite files. */
  readonly root: string
  /** The modes of everything in it but `root`. */
  readonly modes: Modes
  /** Makes files with these modes, and follows no link in the directory. */
  readonly files: FilesBeneath
  /** Chosen at random when the directory was created; written into each transaction. */
  readonly nodeId: bigint
  /** The cluster whose history this directory holds; undefined before the node joined one. */
  clusterId(): string | undefined
  /** Permanent: from now on the data is part of that cluster's history. */
  joinCluster(id: string): void
  /** The highest term that this node has seen, as leader or follower. It ignores messages of lower terms. */
  term(): bigint
  sawTerm(term: bigint): void
  /** The highest term in which this node was the leader; 0 when it never was. */
  ledTerm(): bigint
  /** The data may have transactions that no other node has: it led, or its node.json was lost. */
  mayHaveLed(): boolean
  /**
   * Called before the first commit of a term. The term must not be lower than any term seen before (I6). Unless
   * `isWhole`, the node lacks part of its predecessors' history, until `hasHistoryOf`.
   */
  led(term: bigint, isWhole?: boolean): void
  /** The term of the last leader whose whole history this node has held; 0 when there was none. */
  historyTerm(): bigint
  hasHistoryOf(term: bigint): void
  readonly knownNodes: KnownNodes
  close(): void
}

/** A data directory that no node uses while it is read. */
export interface LockedDirectory {
  readonly files: FilesBeneath
  readonly unlock: () => void
}

/**
 * Holds the data directory's lock for a reader, so that no node changes the directory meanwhile. Creates and writes
 * nothing. Throws LtxdError when `dir` is no data directory, or a node uses it.
 */
export function lockForReading(dir: string): LockedDirectory {
  const held = findDirectory(dir)
  if (held === undefined || !fs.existsSync(`/proc/self/fd/${held}/files`)) {
    if (held !== undefined) fs.closeSync(held)
    throw new LtxdError('NO_DATA', `${dir} is not a data directory of ltxd (it has no files/): name one with --data`)
  }
  const descriptors = [held]
  const unlock = () => descriptors.forEach((fd) => fs.closeSync(fd))
  try {
    const files = filesBeneath(dir, PRIVATE, heldAt(held))
    assertKnown(files, dir)
    const lock = lockToRead(files)
    if (lock !== undefined) descriptors.push(lock)
    return { files, unlock }
  } catch (error) {
    unlock()
    throw error
  }
}

export interface DataDirectoryOptions {
  /** Default: nobody else reads what is in it. */
  readonly modes?: Modes
  /** What a person should know of what was found and changed. */
  readonly changed?: (message: string) => void
}

/**
 * Opens the directory, creates what is missing, and gives everything but `files/` its mode. Throws LtxdError when it
 * cannot be written, a node uses it, or a later version wrote it.
 */
export function openDataDirectory(dir: string, options: DataDirectoryOptions = {}): DataDirectory {
  const { modes = PRIVATE } = options
  const root = `${dir}/files`
  const descriptors: number[] = []
  const close = () => descriptors.forEach((fd) => fs.closeSync(fd))
  try {
    const held = makeNamedDirectory(dir, modes.directory)
    descriptors.push(held)
    const at = heldAt(held)
    const files = filesBeneath(dir, modes, at)
    assertOwn(files, at)
    assertNotMoved(files, at)
    // It is the root of the mount, whose mode is the applications' business once it is there.
    files.makeDirectory(root, WRITABLE_BY_OWNER)
    files.makeDirectory(`${dir}/log`)
    for (const own of ['files', 'log']) fs.closeSync(files.openDirectory(`${dir}/${own}`))
    // First, because it says whether this version may change the directory.
    assertKnown(files, dir)
    descriptors.push(...lockDirectory(files, options.changed))
    const identity = new IdentityFile(files, dir)
    const foreign = describeOwner(`the data directory ${dir}`, fs.statSync(at))
    if (foreign !== undefined) options.changed?.(foreign)
    const changed = applyDataModes(dir, modes, at)
    if (changed !== undefined) {
      options.changed?.(describeChange(`the data directory ${dir}`, changed, modes, 'data.mode'))
    }
    finishReplacements(files, `${dir}/log`, (problem) => options.changed?.(problem))
    finishRestored({ dir, at, root, files }, (problem) => options.changed?.(problem))
    const knownNodes = new KnownNodes(files, `${dir}/nodes.json`, formatNodeId(identity.nodeId))
    return {
      ...{ dir, at, descriptor: held, root, modes, files, nodeId: identity.nodeId },
      clusterId: () => identity.clusterId,
      joinCluster: (id) => identity.update({ clusterId: id }),
      term: () => identity.term,
      sawTerm: (term) => {
        assert.ok(term <= MAX_TERM, `term ${term} is too large to be read again`)
        if (term > identity.term) identity.update({ term: term.toString() })
      },
      ledTerm: () => identity.ledTerm,
      mayHaveLed: () => identity.mayHaveLed,
      led: (term, isWhole = true) => {
        assert.ok(
          term >= identity.term,
          `I6: this node has seen term ${identity.term}, and must not lead in term ${term}`,
        )
        assert.ok(term <= MAX_TERM, `term ${term} is too large to be read again`)
        const text = term.toString()
        if (term <= identity.ledTerm) return
        identity.update({ term: text, ledTerm: text, ...(isWhole && { historyTerm: text }) })
      },
      historyTerm: () => identity.historyTerm,
      hasHistoryOf: (term) => {
        if (term > identity.historyTerm) identity.update({ historyTerm: term.toString() })
      },
      knownNodes,
      close: () => {
        try {
          knownNodes.close()
        } finally {
          close()
        }
      },
    }
  } catch (error) {
    close()
    throw isSaid(error) ? error : unusable(dir, error)
  }
}

/** A path that names the directory until the descriptor is closed. With a dot: lstat would see the link in /proc. */
const heldAt = (descriptor: number) => `/proc/self/fd/${descriptor}/.`

/** A link, or something else, in the place of one of its own files says only what it is. */
const isSaid = (error: unknown) =>
  error instanceof LtxdError && !(error instanceof LinkedNameError) && !(error instanceof NotRegularError)

export function formatNodeId(id: bigint): string {
  return id.toString(16).padStart(16, '0')
}

const term = termText.transform(String)
/** The format of the data directory: its layout, and every file in it that has no number of its own. */
const FORMAT = 1

const identitySchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  clusterId: z.string().min(1).max(64).optional(),
  term: term.optional(),
  ledTerm: term.optional(),
  historyTerm: term.optional(),
  /** There were databases when the id was chosen: nobody knows what the node before had led. */
  inherited: z.boolean().optional(),
})

const IDENTITY = { format: FORMAT, schema: identitySchema }

/** The node's id, cluster and terms, which survive restarts. */
class IdentityFile {
  readonly #files: Files
  readonly #path: string
  #identity: z.infer<typeof identitySchema>

  constructor(files: Files, dir: string) {
    this.#files = files
    this.#path = `${dir}/node.json`
    if (files.status(this.#path) !== undefined) {
      this.#identity = readIdentity(files, this.#path)
    } else {
      const inherited = files.list(`${dir}/log`).length > 0
      this.#identity = { id: formatNodeId(randomBytes(8).readBigUInt64BE()), ...(inherited && { inherited }) }
      this.#write()
    }
  }

  get nodeId(): bigint {
    return BigInt(`0x${this.#identity.id}`)
  }

  get clusterId(): string | undefined {
    return this.#identity.clusterId
  }

  get term(): bigint {
    return BigInt(this.#identity.term ?? 0)
  }

  get ledTerm(): bigint {
    return BigInt(this.#identity.ledTerm ?? 0)
  }

  get mayHaveLed(): boolean {
    return this.ledTerm > 0n || this.#identity.inherited === true
  }

  get historyTerm(): bigint {
    return BigInt(this.#identity.historyTerm ?? 0)
  }

  update(change: Partial<z.infer<typeof identitySchema>>): void {
    this.#identity = { ...this.#identity, ...change }
    this.#write()
  }

  #write(): void {
    writeState(this.#files, this.#path, FORMAT, this.#identity)
  }
}

/** Throws where this version may not change the directory. */
function assertKnown(files: FilesBeneath, dir: string): void {
  const path = `${dir}/node.json`
  if (files.status(path) !== undefined) readIdentity(files, path)
}

function readIdentity(files: Files, path: string): z.infer<typeof identitySchema> {
  try {
    const identity = readState(files, path, IDENTITY)
    if (identity !== undefined) return identity
    throw new StateDamagedError(path, 'it is gone')
  } catch (error) {
    if (!(error instanceof StateDamagedError)) throw error
    throw new LtxdError(
      'DATA_DAMAGED',
      `${path} is not as ltxd wrote it: ${error.problem}. Put it back from a copy. Without one: where another node has ` +
        'the databases, move this data directory away, and start with an empty one; a node that is alone continues ' +
        'with its databases, under another id, when the file is removed. In a cluster do not remove it: the node ' +
        'would forget which terms it has seen',
    )
  }
}

function unusable(dir: string, cause: unknown): LtxdError {
  const why = obstacle(dir) ?? errorMessage(cause)
  return new LtxdError(
    'DATA_NOT_WRITABLE',
    `the data directory ${dir} cannot be written: ${why}. Choose another with --data, or make this one writable`,
    1,
    { cause },
  )
}

/** Node's recursive mkdir fails with ENOENT for any cause, so this checks the nearest directory that exists. */
function obstacle(dir: string): string | undefined {
  let existing = dir
  while (!fs.existsSync(existing)) existing = path.dirname(existing)
  if (!fs.statSync(existing).isDirectory()) return `${existing} is not a directory`
  try {
    fs.accessSync(existing, fs.constants.W_OK)
    return undefined
  } catch (error) {
    return errorCode(error) === 'EROFS' ? `${existing} lies on a read-only file system` : errorMessage(error)
  }
}
