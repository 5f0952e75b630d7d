/**
 * Files whose content is made when they are read. They have no backing file, no listing shows them, and the kernel
 * caches nothing of them. The kernel caches listings without a time limit, and `rm -r` would fail on files that it may
 * not remove.
 *
 * A real file of such a name takes precedence, so that no stored file is hidden. But no file can be created over a
 * special one.
 */

import fs from 'node:fs'
import { rejection } from '../errno.ts'
import type { Attributes, Entry, NodeId, Opened } from '../filesystem.ts'
import { isWriter } from './open-files.ts'

export interface SpecialContent {
  readonly bytes: Uint8Array
  /** The time of the last change, if that is meaningful. */
  readonly modifiedMs: number
}

/** The special files and their content. Paths are relative to the mount. */
export interface SpecialFiles {
  /**
   * Whether the path can be a special file, now or later, so that nothing about it may be cached. Called for every
   * missing name, so it must be cheap.
   */
  names(path: string): boolean
  /** Whether creating a file at the path is forbidden now. */
  reserved(path: string): boolean
  /** undefined if the file does not exist now. */
  content(path: string): SpecialContent | undefined
}

export const NO_SPECIAL_FILES: SpecialFiles = {
  names: () => false,
  reserved: () => false,
  content: () => undefined,
}

/** Ids and handles from here on belong to special files; those of the tree count from 1. */
const FIRST = 2 ** 52
const MODE = 0o100444
const NOTHING = new Uint8Array(0)

interface SpecialNode {
  readonly id: NodeId
  readonly path: string
  /** The content as last seen; it remains after the file is gone. */
  modifiedMs: number
  /** Lookups that the kernel has not forgotten yet. */
  lookups: number
}

interface SpecialHandle {
  readonly path: string
  /** The content that this handle reads, until it reads from the start again. */
  bytes: Uint8Array
}

/** Whether a node id, or a handle, belongs to a special file. */
export function isSpecial(idOrHandle: number): boolean {
  return idOrHandle >= FIRST
}

/** The special files as the kernel knows them. */
export class SpecialNodes {
  readonly #files: SpecialFiles
  readonly #byId = new Map<NodeId, SpecialNode>()
  readonly #byPath = new Map<string, SpecialNode>()
  readonly #handles = new Map<number, SpecialHandle>()
  #last = FIRST

  constructor(files: SpecialFiles) {
    this.#files = files
  }

  /** How many special files the kernel remembers. */
  get size(): number {
    return this.#byId.size
  }

  /**
   * Looks up a name without a backing file. undefined if it can never be a special file; throws ENOENT, which the
   * kernel does not cache, if it is none now.
   */
  lookup(path: string): Entry | undefined {
    if (!this.#files.names(path)) return undefined
    const content = this.#files.content(path)
    if (content === undefined) throw rejection('ENOENT')
    const node = this.#remember(path, content)
    node.lookups++
    return { nodeId: node.id, attributes: attributesOf(node, content), cached: false }
  }

  forget(id: NodeId, lookups: number): void {
    const node = this.#byId.get(id)
    if (node === undefined) return
    node.lookups -= lookups
    if (node.lookups > 0) return
    this.#byId.delete(id)
    this.#byPath.delete(node.path)
  }

  /** Throws if a special file exists at the path. */
  assertFree(path: string): void {
    if (this.#files.names(path) && this.#files.reserved(path)) throw rejection('EACCES')
  }

  /** Throws if the path, which has no backing file, is a special file and so cannot be removed or moved. */
  assertNone(path: string): void {
    if (this.#files.names(path) && this.#files.content(path) !== undefined) throw rejection('EACCES')
  }

  attributes(id: NodeId): Attributes {
    const node = this.#get(id)
    const content = this.#files.content(node.path)
    if (content !== undefined) node.modifiedMs = content.modifiedMs
    return attributesOf(node, content)
  }

  /** Opens for reading only. */
  open(id: NodeId, flags: number): Opened {
    if (isWriter(flags) || (flags & fs.constants.O_TRUNC) !== 0) throw rejection('EACCES')
    const { path } = this.#get(id)
    const content = this.#files.content(path)
    if (content === undefined) throw rejection('ENOENT')
    const handle = ++this.#last
    this.#handles.set(handle, { path, bytes: content.bytes })
    return { handle, cached: false, modeChanged: false }
  }

  /**
   * A read from the start returns the current content, for programs that hold the file open and read it repeatedly. A
   * read at any other position continues in the content read from the start. Empty once the file is gone.
   */
  read(handle: number, into: Uint8Array, at: number, length: number, position: number): number {
    const file = this.#handles.get(handle)
    if (file === undefined) throw rejection('EBADF')
    if (position === 0) file.bytes = this.#files.content(file.path)?.bytes ?? NOTHING
    const piece = file.bytes.subarray(position, position + length)
    into.set(piece, at)
    return piece.length
  }

  release(handle: number): void {
    this.#handles.delete(handle)
  }

  #get(id: NodeId): SpecialNode {
    const node = this.#byId.get(id)
    if (node === undefined) throw rejection('ESTALE')
    return node
  }

  #remember(path: string, { modifiedMs }: SpecialContent): SpecialNode {
    const known = this.#byPath.get(path)
    if (known !== undefined) {
      known.modifiedMs = modifiedMs
      return known
    }
    const node = { id: ++this.#last, path, modifiedMs, lookups: 0 }
    this.#byId.set(node.id, node)
    this.#byPath.set(path, node)
    return node
  }
}

/** Readable by everyone; owned by the daemon's user. */
function attributesOf({ id, modifiedMs }: SpecialNode, content: SpecialContent | undefined): Attributes {
  return {
    ino: id,
    size: content?.bytes.length ?? 0,
    blocks: 0,
    atimeMs: modifiedMs,
    mtimeMs: modifiedMs,
    ctimeMs: modifiedMs,
    mode: MODE,
    nlink: content === undefined ? 0 : 1,
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    rdev: 0,
    blksize: 4096,
    uncached: true,
  }
}
