/** The files that the kernel remembers, by node id, and their tree. */

import type { FileContent } from '../content.ts'
import { rejection } from '../errno.ts'
import type { Attributes, NodeId } from '../filesystem.ts'
import { DOORBELL_ID, ROOT_ID } from '../protocol/kernel.ts'
import type { DirectoryListing } from './listing.ts'

const TYPE_BITS = 0o170000
const DIRECTORY = 0o040000
const REGULAR = 0o100000
const SYMLINK = 0o120000

/** The one backing descriptor of a file and its content, while any handle is open. */
export interface OpenFile {
  readonly fd: number
  readonly content: FileContent
  /** The backing file could not be opened for writing. */
  readonly readOnly: boolean
  handles: number
  writers: number
}

export class Node {
  readonly id: NodeId
  /** The backing file's inode number: stable for as long as the file exists. */
  readonly ino: number
  name: string
  /** undefined for the root, and for a removed file that the kernel still references. */
  parent: Node | undefined
  readonly children = new Map<string, Node>()
  /** Lookups that the kernel has not forgotten yet. */
  lookups = 0
  /** As last seen. Every change goes through the mount. */
  mode: number
  gid: number
  open: OpenFile | undefined
  listing: DirectoryListing | undefined
  /** For a directory: a name in it may not be durable yet. */
  namesChanged = true
  /** The volume removed this name of it, which the kernel may still have cached. */
  removedBehind: string | undefined
  /** A write failed: the kernel may have cached bytes that are not in the file. The next open drops them. */
  isDoubted = false

  constructor(id: NodeId, name: string, parent: Node | undefined, attributes: Attributes) {
    this.id = id
    this.ino = attributes.ino
    this.name = name
    this.parent = parent
    this.mode = attributes.mode
    this.gid = attributes.gid
  }

  /** Whether the kernel has to drop what it has cached of the file: asked at each open. */
  takeStale(): boolean {
    const isStale = this.open?.content.takeStale?.() === true || this.isDoubted
    this.isDoubted = false
    return isStale
  }

  get isDirectory(): boolean {
    return (this.mode & TYPE_BITS) === DIRECTORY
  }

  get isRegular(): boolean {
    return (this.mode & TYPE_BITS) === REGULAR
  }

  get isSymlink(): boolean {
    return (this.mode & TYPE_BITS) === SYMLINK
  }

  /** Whether this is still the file that `attributes` describe, and not another that took its name behind the mount. */
  is(attributes: Attributes): boolean {
    return this.ino === attributes.ino && (this.mode & TYPE_BITS) === (attributes.mode & TYPE_BITS)
  }

  seen(attributes: Attributes): void {
    this.mode = attributes.mode
    this.gid = attributes.gid
  }
}

const nameIn = (parent: Node, name: string) => `${parent.id}/${name}`

/**
 * All nodes. Ids come from a counter. A node stays while the kernel remembers it, while it is open, and while any node
 * below it stays. A file must have only one node at any time, or the kernel would have two page caches and two sets of
 * locks for it.
 */
export class NodeTable {
  readonly root: Node
  readonly #nodes = new Map<NodeId, Node>()
  readonly #removedBehind = new Map<string, Node>()
  #lastId: NodeId = DOORBELL_ID

  constructor(rootAttributes: Attributes) {
    this.root = new Node(ROOT_ID, '', undefined, rootAttributes)
    this.#nodes.set(ROOT_ID, this.root)
  }

  get size(): number {
    return this.#nodes.size
  }

  /** The kernel may have cached bytes that are not in the file. */
  doubt(id: NodeId): void {
    const node = this.#nodes.get(id)
    if (node !== undefined) node.isDoubted = true
  }

  get(id: NodeId): Node {
    const node = this.#nodes.get(id)
    if (node === undefined) throw rejection('ESTALE')
    return node
  }

  directory(id: NodeId): Node {
    const node = this.get(id)
    if (!node.isDirectory) throw rejection('ENOTDIR')
    return node
  }

  regular(id: NodeId): Node {
    const node = this.get(id)
    if (node.isDirectory) throw rejection('EISDIR')
    if (!node.isRegular) throw rejection(node.isSymlink ? 'ELOOP' : 'EPERM')
    return node
  }

  /** The node of the file at `path`, if the kernel knows it. */
  find(path: string): Node | undefined {
    let node: Node | undefined = this.root
    for (const name of path === '' ? [] : path.split('/')) node = node?.children.get(name)
    return node
  }

  /** The node of the file `name` in `parent`, which `attributes` describe; created if it does not exist yet. */
  remember(parent: Node, name: string, attributes: Attributes): Node {
    let node = parent.children.get(name)
    if (node !== undefined && !node.is(attributes)) {
      this.detach(node)
      node = undefined
    }
    if (node === undefined) {
      node = new Node(++this.#lastId, name, parent, attributes)
      parent.children.set(name, node)
      this.#nodes.set(node.id, node)
    }
    node.seen(attributes)
    return node
  }

  /** The kernel forgets `lookups` of its lookups of a node. */
  forget(id: NodeId, lookups: number): void {
    const node = this.#nodes.get(id)
    if (node === undefined) return
    node.lookups = Math.max(0, node.lookups - lookups)
    this.collect(node)
  }

  /** The file lost its name. Handles on it continue to work. */
  detach(node: Node): void {
    const parent = node.parent
    if (parent === undefined) return
    parent.children.delete(node.name)
    node.parent = undefined
    this.collect(node)
    this.collect(parent)
  }

  detachChild(parent: Node, name: string): void {
    const node = parent.children.get(name)
    if (node !== undefined) this.detach(node)
  }

  /** The name was removed through the mount. */
  removed(parent: Node, name: string): void {
    parent.namesChanged = true
    this.detachChild(parent, name)
  }

  /** The volume removed the name, which the kernel may have cached. Returns the directory if the file is known. */
  removeBehind(path: string): NodeId | undefined {
    const node = this.find(path)
    const parent = node?.parent
    if (node === undefined || parent === undefined) return undefined
    parent.namesChanged = true
    node.removedBehind = nameIn(parent, node.name)
    this.#removedBehind.set(node.removedBehind, node)
    this.detach(node)
    return parent.id
  }

  /** The volume made a file of that name. Returns the directory if the kernel knows it. */
  madeBehind(path: string): NodeId | undefined {
    const parent = this.find(path.slice(0, Math.max(0, path.lastIndexOf('/'))))
    if (parent !== undefined) parent.namesChanged = true
    return parent?.id
  }

  /** Whether the volume removed the name, and the kernel, which remembers the file, may not have heard of it. */
  wasRemovedBehind(parent: Node, name: string): boolean {
    return this.#removedBehind.has(nameIn(parent, name))
  }

  move(node: Node, parent: Node, name: string): void {
    const replaced = parent.children.get(name)
    if (replaced === node) return
    if (replaced !== undefined) this.detach(replaced)
    const former = node.parent
    former?.children.delete(node.name)
    node.parent = parent
    node.name = name
    parent.children.set(name, node)
    if (former !== undefined) this.collect(former)
  }

  /** Drops a node that nothing references, and the parents that only it referenced. */
  collect(node: Node): void {
    let candidate: Node | undefined = node
    while (candidate !== undefined && candidate !== this.root) {
      if (candidate.lookups > 0 || candidate.open !== undefined || candidate.children.size > 0) return
      const parent: Node | undefined = candidate.parent
      parent?.children.delete(candidate.name)
      candidate.parent = undefined
      this.#nodes.delete(candidate.id)
      this.#forgetRemoval(candidate)
      candidate = parent
    }
  }

  #forgetRemoval(node: Node): void {
    const { removedBehind } = node
    if (removedBehind !== undefined && this.#removedBehind.get(removedBehind) === node)
      this.#removedBehind.delete(removedBehind)
  }

  /** The path below the root, without a leading slash; '' is the root. */
  path(node: Node): string {
    if (node === this.root) return ''
    if (node.parent === undefined) throw rejection('ESTALE')
    return this.childPath(node.parent, node.name)
  }

  childPath(parent: Node, name: string): string {
    const path = this.path(parent)
    return path === '' ? name : `${path}/${name}`
  }

  *openNodes(): Iterable<Node> {
    for (const node of this.#nodes.values()) if (node.open !== undefined) yield node
  }
}
