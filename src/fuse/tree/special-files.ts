/**
 * Files that are made when they are read: no file backs them, no listing shows them, and the kernel keeps nothing of
 * them. Listings would have to leave them out anyway: the kernel keeps those for ever, and `rm -r` would fail on
 * files that it may not remove.
 *
 * A real file of such a name wins, for nothing that somebody stored is ever hidden; but none can be made where it
 * would hide a special one.
 */

import fs from 'node:fs'
import { refusal } from '../errno.ts'
import type { Attributes, Entry, NodeId, Opened } from '../filesystem.ts'
import { isWriter } from './open-files.ts'

export interface SpecialContent {
  readonly bytes: Uint8Array
  /** When it last changed, as far as that means something. */
  readonly modifiedMs: number
}

/** Which files there are, and what they say. Paths are relative to the mount. */
export interface SpecialFiles {
  /** The path could be one, now or later: nothing about it may be cached. Asked of every name that is not there, so it must cost nothing. */
  names(path: string): boolean
  /** No file may be made at the path now. */
  reserved(path: string): boolean
  /** Undefined: there is none now. */
  content(path: string): SpecialContent | undefined
}

export const NO_SPECIAL_FILES: SpecialFiles = {
  names: () => false,
  reserved: () => false,
  content: () => undefined,
}

/** Ids and handles from here on are special files'; those of the tree count from 1. */
const FIRST = 2 ** 52
const MODE = 0o100444
const NOTHING = new Uint8Array(0)

interface SpecialNode {
  readonly id: NodeId
  readonly path: string
  /** As last seen; what is left of it when the file goes. */
  modifiedMs: number
  /** How many lookups the kernel has yet to forget. */
  lookups: number
}

interface SpecialHandle {
  readonly path: string
  /** What this handle reads, until it reads from the start again. */
  bytes: Uint8Array
}

/** A node id, or a handle, belongs to a special file. */
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

  /** How many the kernel remembers. */
  get size(): number {
    return this.#byId.size
  }

  /** For a name that nothing backs. Undefined: there is none, for ever; ENOENT, which the kernel does not remember: not now. */
  lookup(path: string): Entry | undefined {
    if (!this.#files.names(path)) return undefined
    const content = this.#files.content(path)
    if (content === undefined) throw refusal('ENOENT')
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

  /** Throws where a file would be made over a special one. */
  assertFree(path: string): void {
    if (this.#files.names(path) && this.#files.reserved(path)) throw refusal('EACCES')
  }

  /** Throws where a name that nothing backs would be removed or moved, and is a special one. */
  assertNone(path: string): void {
    if (this.#files.names(path) && this.#files.content(path) !== undefined) throw refusal('EACCES')
  }

  attributes(id: NodeId): Attributes {
    const node = this.#get(id)
    const content = this.#files.content(node.path)
    if (content !== undefined) node.modifiedMs = content.modifiedMs
    return attributesOf(node, content)
  }

  /** Never for writing. */
  open(id: NodeId, flags: number): Opened {
    if (isWriter(flags) || (flags & fs.constants.O_TRUNC) !== 0) throw refusal('EACCES')
    const { path } = this.#get(id)
    const content = this.#files.content(path)
    if (content === undefined) throw refusal('ENOENT')
    const handle = ++this.#last
    this.#handles.set(handle, { path, bytes: content.bytes })
    return { handle, cached: false, modeChanged: false }
  }

  /**
   * From the start it reads what there is now, which is what somebody wants who keeps the file open and asks again; from anywhere
   * else it goes on in what was read from the start. Nothing, once the file is gone.
   */
  read(handle: number, into: Uint8Array, at: number, length: number, position: number): number {
    const file = this.#handles.get(handle)
    if (file === undefined) throw refusal('EBADF')
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
    if (node === undefined) throw refusal('ESTALE')
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

/** Everybody may read it; it belongs to the daemon's user. */
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
