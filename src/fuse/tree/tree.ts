/**
 * The file system of the mount: a tree of names over a backing directory. It owns names, attributes and handles; the
 * volume owns the files' content (content.ts). The backing directory belongs to this process alone.
 */

import fs from 'node:fs'
import type { Caller, HeldReply, Volume } from '../content.ts'
import { rejection } from '../errno.ts'
import type * as T from '../filesystem.ts'
import { NodeAttributes } from './attributes.ts'
import { BackingDirectory } from './backing-directory.ts'
import { DirectoryReader } from './directory-reader.ts'
import { makeDirectory, makeFile, makeSymlink, ownership } from './making.ts'
import { type Node, NodeTable } from './nodes.ts'
import { OpenFiles } from './open-files.ts'
import { isSpecial, NO_SPECIAL_FILES, type SpecialFiles, SpecialNodes } from './special-files.ts'

const { O_EXCL, O_TRUNC, O_WRONLY, S_IFMT, S_IFREG } = fs.constants

export class Tree implements T.FileSystem {
  readonly #backing: BackingDirectory
  readonly #volume: Volume
  readonly #nodes: NodeTable
  readonly #attributes: NodeAttributes
  readonly #reader: DirectoryReader
  readonly #files: OpenFiles
  readonly #special: SpecialNodes
  readonly #forget: (parent: T.NodeId, name: string) => void

  constructor(
    root: string,
    volume: Volume,
    special: SpecialFiles = NO_SPECIAL_FILES,
    forget: (parent: T.NodeId, name: string) => void = () => {}, // Another thread tells the kernel
  ) {
    this.#backing = new BackingDirectory(root)
    this.#volume = volume
    this.#forget = forget
    this.#nodes = new NodeTable(fs.statSync(root))
    this.#attributes = new NodeAttributes(this.#nodes, this.#backing, volume)
    this.#reader = new DirectoryReader(this.#nodes, this.#backing)
    this.#files = new OpenFiles(this.#backing, volume)
    this.#special = new SpecialNodes(special)
    const remove = (path: string) => {
      this.#backing.unlink(path)
      this.#changed(path, this.#nodes.removeBehind(path))
    }
    volume.attach?.({ remove, made: (path) => this.#changed(path, this.#nodes.madeBehind(path)) })
  }

  /** How many files the kernel remembers, the root included. */
  get nodeCount(): number {
    return this.#nodes.size + this.#special.size
  }

  /** The files that the kernel knows, and by which number: to notify it of a change. */
  get nodes(): Pick<NodeTable, 'doubt' | 'find' | 'openNodes'> {
    return this.#nodes
  }

  /** Closes every open file, because the mount is gone or about to be. */
  close(): void {
    this.#files.releaseAll()
  }

  lookup(parentId: T.NodeId, name: string): T.Entry | undefined {
    const parent = this.#nodes.directory(parentId)
    const path = this.#nodes.childPath(parent, name)
    const attributes = this.#backing.attributes(path)
    if (attributes !== undefined) return this.#entry(parent, name, attributes)
    this.#nodes.detachChild(parent, name)
    return this.#special.lookup(path)
  }

  forget(id: T.NodeId, lookups: number): void {
    if (isSpecial(id)) this.#special.forget(id, lookups)
    else this.#nodes.forget(id, lookups)
  }

  getAttributes(id: T.NodeId): T.Attributes {
    return isSpecial(id) ? this.#special.attributes(id) : this.#attributes.read(this.#nodes.get(id))
  }

  /** Truncation comes first, because it may be rejected. */
  setAttributes(id: T.NodeId, change: T.AttributeChange, caller: Caller): T.Attributes {
    if (isSpecial(id)) throw rejection('EACCES')
    const node = this.#nodes.get(id)
    if (change.sizeBytes !== undefined) this.#truncate(node, change, caller)
    this.#attributes.change(node, change)
    return this.#attributes.read(node)
  }

  readLink(id: T.NodeId): Uint8Array {
    return this.#backing.readLink(this.#nodes.path(this.#nodes.get(id)))
  }

  makeSymlink(parentId: T.NodeId, name: string, target: string, caller: Caller): T.Entry {
    return this.#make(parentId, name, (path, parent) => makeSymlink(path, target, ownership(parent, caller)))
  }

  makeNode(parentId: T.NodeId, name: string, mode: number, caller: Caller): T.Entry {
    if ((mode & S_IFMT) !== S_IFREG) throw rejection('EPERM') // No pipes, sockets or devices.
    return this.#make(parentId, name, (path, parent) => {
      fs.closeSync(makeFile(path, mode, ownership(parent, caller)))
    })
  }

  makeDirectory(parentId: T.NodeId, name: string, mode: number, caller: Caller): T.Entry {
    return this.#make(parentId, name, (path, parent) => {
      makeDirectory(path, mode, ownership(parent, caller), parent)
    })
  }

  unlink(parentId: T.NodeId, name: string, caller: Caller): void {
    const parent = this.#nodes.directory(parentId)
    const path = this.#nodes.childPath(parent, name)
    const perform = () => {
      this.#backing.unlink(path)
      this.#nodes.removed(parent, name)
    }
    const isGone = this.#backing.attributes(path) === undefined && this.#nodes.wasRemovedBehind(parent, name)
    if (isGone) return // The caller saw the file before the kernel heard that it was removed.
    if (this.#existing(path).isFile()) this.#volume.unlink(path, perform, caller)
    else perform()
  }

  removeDirectory(parentId: T.NodeId, name: string): void {
    const parent = this.#nodes.directory(parentId)
    this.#backing.removeDirectory(this.#nodes.childPath(parent, name))
    this.#nodes.removed(parent, name)
  }

  link(id: T.NodeId, caller: Caller): never {
    if (!isSpecial(id)) this.#volume.link?.(this.#nodes.path(this.#nodes.get(id)), caller)
    throw rejection('EPERM')
  }

  rename(fromId: T.NodeId, name: string, toId: T.NodeId, newName: string, noReplace: boolean, caller: Caller): void {
    const parent = this.#nodes.directory(fromId)
    const newParent = this.#nodes.directory(toId)
    const from = this.#nodes.childPath(parent, name)
    const to = this.#nodes.childPath(newParent, newName)
    const attributes = this.#existing(from)
    this.#special.assertFree(to)
    if (noReplace && this.#backing.attributes(to) !== undefined) throw rejection('EEXIST')
    this.#backing.assertReplaceable(to, attributes.isDirectory())
    const node = parent.children.get(name)
    const perform = () => {
      this.#backing.rename(from, to)
      parent.namesChanged = newParent.namesChanged = true
      if (node === undefined) this.#nodes.detachChild(newParent, newName)
      else this.#nodes.move(node, newParent, newName)
    }
    if (attributes.isFile() || attributes.isDirectory()) {
      this.#volume.rename(from, to, attributes.isDirectory(), perform, caller, node?.open !== undefined)
    } else perform()
  }

  open(id: T.NodeId, flags: number, killPrivileges: boolean, caller: Caller): T.Opened {
    if (isSpecial(id)) return this.#special.open(id, flags)
    const node = this.#nodes.regular(id)
    if (node.removedBehind !== undefined) throw rejection('ESTALE') // The kernel then looks the name up again.
    const handle = this.#open(node, flags, caller)
    const modeChanged = killPrivileges && this.#attributes.killPrivileges(node)
    return { handle, cached: true, isStale: node.takeStale(), modeChanged }
  }

  create(parentId: T.NodeId, name: string, flags: number, mode: number, caller: Caller): T.Created {
    const parent = this.#nodes.directory(parentId)
    const path = this.#nodes.childPath(parent, name)
    const existing = this.#backing.attributes(path)
    if (existing !== undefined) return this.#openExisting(parent, name, existing, flags, caller)
    this.#special.assertFree(path)
    const fd = this.#backing.within(path, (at) => makeFile(at, mode, ownership(parent, caller)))
    parent.namesChanged = true
    const node = this.#nodes.remember(parent, name, fs.fstatSync(fd))
    try {
      const handle = this.#files.open(node, path, flags, caller, fd)
      return { entry: this.#known(node), opened: { handle, cached: true, modeChanged: false } }
    } catch (error) {
      this.#backing.unlink(path)
      this.#nodes.detach(node)
      throw error
    }
  }

  read(handle: number, into: Uint8Array, at: number, length: number, position: number): number {
    if (isSpecial(handle)) return this.#special.read(handle, into, at, length, position)
    return this.#files.get(handle).file.content.read(into, at, length, position)
  }

  write(handle: number, data: Uint8Array, position: number, killPrivileges: boolean, caller: Caller): boolean {
    const { node, file } = this.#files.get(handle)
    file.content.write(data, position, caller, handle)
    return killPrivileges && this.#attributes.killPrivileges(node)
  }

  release(handle: number): void {
    if (isSpecial(handle)) return this.#special.release(handle)
    const { node } = this.#files.get(handle)
    try {
      this.#files.release(handle)
    } finally {
      this.#nodes.collect(node)
    }
  }

  sync(handle: number, dataOnly: boolean): HeldReply | undefined {
    return isSpecial(handle) ? undefined : this.#files.get(handle).file.content.sync(dataOnly)
  }

  /**
   * Every name is created, removed and moved here, so a directory without such a change since its last fsync is
   * durable.
   */
  syncDirectory(id: T.NodeId): void {
    const node = this.#nodes.directory(id)
    if (!node.namesChanged) return
    const path = this.#nodes.path(node)
    this.#volume.syncDirectory(path, () => {
      this.#backing.sync(path)
      node.namesChanged = false
    })
  }

  readDirectory(id: T.NodeId, cookie: number, withEntries: boolean, sink: T.DirectorySink): void {
    const node = this.#nodes.directory(id)
    const entry = (name: string, attributes: T.Attributes) => this.#entry(node, name, attributes)
    this.#reader.read(node, cookie, sink, withEntries ? entry : undefined)
  }

  statistics(): T.FileSystemStatistics {
    return this.#backing.statistics()
  }

  /** The attributes of a file that is about to be removed or moved. */
  #existing(path: string): fs.Stats {
    const attributes = this.#backing.attributes(path)
    if (attributes !== undefined) return attributes
    this.#special.assertNone(path)
    throw rejection('ENOENT')
  }

  /** The kernel's entry for a name, which counts as one lookup. */
  #entry(parent: Node, name: string, attributes: T.Attributes): T.Entry {
    const node = this.#nodes.remember(parent, name, attributes)
    node.lookups++
    return { nodeId: node.id, attributes, cached: true }
  }

  /** The entry of a file that was just opened, which may have changed its attributes. */
  #known(node: Node): T.Entry {
    const attributes = this.#attributes.read(node)
    node.lookups++
    return { nodeId: node.id, attributes, cached: true }
  }

  /** The volume changed a name in `parent`, of which the kernel may have cached what was. */
  #changed(path: string, parent: T.NodeId | undefined): void {
    if (parent !== undefined) this.#forget(parent, path.slice(path.lastIndexOf('/') + 1))
  }

  #make(parentId: T.NodeId, name: string, make: (path: string | Buffer, parent: Node) => void): T.Entry {
    const parent = this.#nodes.directory(parentId)
    const path = this.#nodes.childPath(parent, name)
    this.#special.assertFree(path)
    this.#backing.within(path, (at) => make(at, parent))
    parent.namesChanged = true
    return this.#entry(parent, name, this.#existing(path))
  }

  #open(node: Node, flags: number, caller: Caller): number {
    // An open file may have lost its path, and needs none.
    const path = node.open === undefined ? this.#nodes.path(node) : ''
    return this.#files.open(node, path, flags, caller)
  }

  /** Serves CREATE for a name that the kernel believed free: the daemon itself has created the file since. */
  #openExisting(parent: Node, name: string, existing: T.Attributes, flags: number, caller: Caller): T.Created {
    if ((flags & O_EXCL) !== 0) throw rejection('EEXIST')
    const node = this.#nodes.remember(parent, name, existing)
    try {
      const opened = this.open(node.id, flags, (flags & O_TRUNC) !== 0, caller)
      return { entry: this.#known(node), opened }
    } finally {
      this.#nodes.collect(node)
    }
  }

  /** For the content, a truncation by name is an open for writing, a truncation and a close. */
  #truncate(node: Node, { sizeBytes = 0, killPrivileges, handle }: T.AttributeChange, caller: Caller): void {
    const used = handle ?? this.#open(this.#nodes.regular(node.id), O_WRONLY, caller)
    try {
      this.#files.get(used).file.content.truncate(sizeBytes, caller)
      if (killPrivileges === true) this.#attributes.killPrivileges(node)
    } finally {
      if (handle === undefined) this.release(used)
    }
  }
}
