/**
 * The file system of the mount: a tree of names over a backing directory. It owns names, attributes and handles;
 * what files contain is the volume's (content.ts). The backing directory belongs to this process alone.
 */

import fs from 'node:fs'
import {
  changeMode,
  changeOwner,
  changeTimes,
  readAttributes,
  SET_GROUP_ID,
  withoutPrivileges,
  type Reach,
} from './attributes.ts'
import type { Caller, Volume } from './content.ts'
import { refusal } from './errno.ts'
import type {
  AttributeChange,
  Attributes,
  DirectorySink,
  Entry,
  FileSystem,
  FileSystemStatistics,
  NodeId,
  Opened,
} from './filesystem.ts'
import { DirectoryListing } from './listing.ts'
import { NodeTable, type Node } from './nodes.ts'
import { OpenFiles } from './open-files.ts'

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants
const MODE_BITS = 0o7777
const TYPE_BITS = 0o170000
const REGULAR = 0o100000
const DIRECTORY = 0o040000
const DOT_COOKIE = 1
const DOT_DOT_COOKIE = 2

export class Tree implements FileSystem {
  readonly #root: string
  readonly #volume: Volume
  readonly #nodes: NodeTable
  readonly #files: OpenFiles

  /** `root` is an absolute path of a directory that exists. */
  constructor(root: string, volume: Volume) {
    this.#root = root
    this.#volume = volume
    this.#nodes = new NodeTable(fs.statSync(root))
    this.#files = new OpenFiles(volume)
  }

  /** How many files the kernel remembers, the root included. */
  get nodeCount(): number {
    return this.#nodes.size
  }

  /** The id by which the kernel knows the file at `path`, if it does: what invalidating it needs. */
  find(path: string): NodeId | undefined {
    let node: Node | undefined = this.#nodes.root
    for (const name of path === '' ? [] : path.split('/')) node = node?.children.get(name)
    return node?.id
  }

  /** Closes what is open: the mount is gone, or is about to be. */
  close(): void {
    this.#files.releaseAll()
  }

  lookup(parentId: NodeId, name: string): Entry | undefined {
    const parent = this.#directory(parentId)
    const attributes = fs.lstatSync(this.#backing(this.#nodes.childPath(parent, name)), { throwIfNoEntry: false })
    if (attributes !== undefined) return this.#entry(parent, name, attributes)
    const vanished = parent.children.get(name)
    if (vanished !== undefined) this.#nodes.detach(vanished)
    return undefined
  }

  forget(id: NodeId, lookups: number): void {
    this.#nodes.forget(id, lookups)
  }

  getAttributes(id: NodeId): Attributes {
    const node = this.#nodes.get(id)
    return this.#attributes(node)
  }

  setAttributes(id: NodeId, change: AttributeChange, caller: Caller): Attributes {
    const node = this.#nodes.get(id)
    // what may be refused comes first, the owner before the mode, from which it takes bits, the times last
    if (change.sizeBytes !== undefined) this.#truncate(node, change.sizeBytes, change.killPrivileges === true, caller)
    const reach = this.#reach(node)
    if (change.uid !== undefined || change.gid !== undefined) changeOwner(reach, change.uid, change.gid)
    if (change.mode !== undefined) changeMode(reach, change.mode)
    if (change.atime !== undefined || change.mtime !== undefined) changeTimes(reach, change)
    return this.#attributes(node)
  }

  readLink(id: NodeId): Uint8Array {
    return fs.readlinkSync(this.#reach(this.#nodes.get(id)).path, 'buffer')
  }

  makeSymlink(parentId: NodeId, name: string, target: string, caller: Caller): Entry {
    return this.#make(parentId, name, caller, (path, parent) => {
      fs.symlinkSync(target, path)
      this.#own({ fd: undefined, path }, fs.lstatSync(path), parent, undefined, caller)
    })
  }

  makeNode(parentId: NodeId, name: string, mode: number, caller: Caller): Entry {
    if ((mode & TYPE_BITS) !== REGULAR) throw refusal('EPERM')
    return this.#make(parentId, name, caller, (path, parent) => {
      fs.closeSync(this.#createBacking(path, parent, mode, caller))
    })
  }

  makeDirectory(parentId: NodeId, name: string, mode: number, caller: Caller): Entry {
    return this.#make(parentId, name, caller, (path, parent) => {
      fs.mkdirSync(path, mode & MODE_BITS)
      const inherited = parent.mode & SET_GROUP_ID
      this.#own({ fd: undefined, path }, fs.lstatSync(path), parent, DIRECTORY | mode | inherited, caller)
    })
  }

  unlink(parentId: NodeId, name: string, caller: Caller): void {
    const parent = this.#directory(parentId)
    const path = this.#nodes.childPath(parent, name)
    const perform = () => {
      fs.unlinkSync(this.#backing(path))
      this.#detached(parent, name)
    }
    if (fs.lstatSync(this.#backing(path)).isFile()) this.#volume.unlink(path, perform, caller)
    else perform()
  }

  removeDirectory(parentId: NodeId, name: string): void {
    const parent = this.#directory(parentId)
    fs.rmdirSync(this.#backing(this.#nodes.childPath(parent, name)))
    this.#detached(parent, name)
  }

  rename(fromId: NodeId, name: string, toId: NodeId, newName: string, noReplace: boolean, caller: Caller): void {
    const parent = this.#directory(fromId)
    const newParent = this.#directory(toId)
    const from = this.#nodes.childPath(parent, name)
    const to = this.#nodes.childPath(newParent, newName)
    const attributes = fs.lstatSync(this.#backing(from))
    if (noReplace && fs.lstatSync(this.#backing(to), { throwIfNoEntry: false }) !== undefined) throw refusal('EEXIST')
    const perform = () => {
      fs.renameSync(this.#backing(from), this.#backing(to))
      const node = parent.children.get(name)
      if (node === undefined) this.#detached(newParent, newName)
      else this.#nodes.move(node, newParent, newName)
    }
    if (attributes.isFile() || attributes.isDirectory()) {
      this.#volume.rename(from, to, attributes.isDirectory(), perform, caller)
    } else perform()
  }

  open(id: NodeId, flags: number, killPrivileges: boolean, caller: Caller): Opened {
    const node = this.#regular(id)
    const handle = this.#open(node, flags, caller)
    if (killPrivileges) this.#killPrivileges(node)
    return { handle, cached: true }
  }

  create(
    parentId: NodeId,
    name: string,
    flags: number,
    mode: number,
    caller: Caller,
  ): { entry: Entry; opened: Opened } {
    const parent = this.#directory(parentId)
    const path = this.#nodes.childPath(parent, name)
    const there = fs.lstatSync(this.#backing(path), { throwIfNoEntry: false })
    if (there !== undefined) {
      if ((flags & O_EXCL) !== 0) throw refusal('EEXIST')
      const entry = this.#entry(parent, name, there)
      return { entry, opened: this.open(entry.nodeId, flags, true, caller) }
    }
    const fd = this.#createBacking(this.#backing(path), parent, mode, caller)
    const node = this.#nodes.remember(parent, name, fs.fstatSync(fd))
    try {
      const handle = this.#files.open(node, path, this.#backing(path), flags, caller, fd)
      node.lookups++
      const entry = { nodeId: node.id, attributes: this.#attributes(node), cached: true }
      return { entry, opened: { handle, cached: true } }
    } catch (error) {
      fs.unlinkSync(this.#backing(path))
      this.#nodes.detach(node)
      throw error
    }
  }

  read(handle: number, into: Uint8Array, at: number, length: number, position: number): number {
    return this.#files.get(handle).file.content.read(into, at, length, position)
  }

  write(handle: number, data: Uint8Array, position: number, killPrivileges: boolean, caller: Caller): void {
    const { node, file } = this.#files.get(handle)
    file.content.write(data, position, caller)
    if (killPrivileges) this.#killPrivileges(node)
  }

  release(handle: number): void {
    this.#nodes.collect(this.#files.release(handle))
  }

  sync(handle: number, dataOnly: boolean): void {
    this.#files.get(handle).file.content.sync(dataOnly)
  }

  syncDirectory(id: NodeId): void {
    const path = this.#nodes.path(this.#directory(id))
    this.#volume.syncDirectory(path, () => {
      const fd = fs.openSync(this.#backing(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
      try {
        fs.fsyncSync(fd)
      } finally {
        fs.closeSync(fd)
      }
    })
  }

  readDirectory(id: NodeId, cookie: number, withEntries: boolean, sink: DirectorySink): void {
    const node = this.#directory(id)
    const dots = [
      { name: '.', ino: node.ino, own: DOT_COOKIE },
      { name: '..', ino: (node.parent ?? node).ino, own: DOT_DOT_COOKIE },
    ]
    for (const { name, ino, own } of dots) {
      if (own <= cookie) continue
      if (!sink.fits(name.length)) return
      sink.add(name, name.length, ino, DIRECTORY, own, undefined)
    }
    for (const [name, own] of this.#listing(node, cookie).after(cookie)) {
      const nameBytes = Buffer.byteLength(name)
      if (!sink.fits(nameBytes)) return
      const path = this.#backing(this.#nodes.childPath(node, name))
      const attributes = fs.lstatSync(path, { throwIfNoEntry: false })
      if (attributes === undefined) continue
      const entry = withEntries ? this.#entry(node, name, attributes) : undefined
      sink.add(name, nameBytes, attributes.ino, attributes.mode, own, entry)
    }
  }

  statistics(): FileSystemStatistics {
    return fs.statfsSync(this.#root)
  }

  #directory(id: NodeId): Node {
    const node = this.#nodes.get(id)
    if (!node.isDirectory) throw refusal('ENOTDIR')
    return node
  }

  #regular(id: NodeId): Node {
    const node = this.#nodes.get(id)
    if (node.isDirectory) throw refusal('EISDIR')
    if (!node.isRegular) throw refusal(node.isSymlink ? 'ELOOP' : 'EPERM')
    return node
  }

  #backing(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`
  }

  #reach(node: Node): Reach {
    if (node.open !== undefined) return { fd: node.open.fd, path: '' }
    return { fd: undefined, path: this.#backing(this.#nodes.path(node)) }
  }

  #attributes(node: Node): Attributes {
    const attributes = readAttributes(this.#reach(node))
    node.seen(attributes)
    return attributes
  }

  #entry(parent: Node, name: string, attributes: Attributes): Entry {
    const node = this.#nodes.remember(parent, name, attributes)
    node.lookups++
    return { nodeId: node.id, attributes, cached: true }
  }

  /** Read anew whenever a reader starts from the beginning. */
  #listing(node: Node, cookie: number): DirectoryListing {
    const listing = (node.listing ??= new DirectoryListing(DOT_DOT_COOKIE))
    if (cookie <= DOT_DOT_COOKIE) listing.refresh(fs.readdirSync(this.#backing(this.#nodes.path(node))))
    return listing
  }

  #detached(parent: Node, name: string): void {
    const node = parent.children.get(name)
    if (node !== undefined) this.#nodes.detach(node)
  }

  #open(node: Node, flags: number, caller: Caller): number {
    if (node.open !== undefined) return this.#files.open(node, '', '', flags, caller)
    const path = this.#nodes.path(node)
    return this.#files.open(node, path, this.#backing(path), flags, caller)
  }

  /** A truncation by name is opening for writing, truncating and closing, to whoever owns the bytes. */
  #truncate(node: Node, sizeBytes: number, killPrivileges: boolean, caller: Caller): void {
    const handle = this.#open(this.#regular(node.id), O_WRONLY, caller)
    try {
      this.#files.get(handle).file.content.truncate(sizeBytes, caller)
      if (killPrivileges) this.#killPrivileges(node)
    } finally {
      this.release(handle)
    }
  }

  #killPrivileges(node: Node): void {
    const mode = withoutPrivileges(node.mode)
    if (mode === node.mode) return
    changeMode(this.#reach(node), mode)
    node.mode = mode
  }

  #make(parentId: NodeId, name: string, _caller: Caller, make: (path: string, parent: Node) => void): Entry {
    const parent = this.#directory(parentId)
    const path = this.#backing(this.#nodes.childPath(parent, name))
    make(path, parent)
    return this.#entry(parent, name, fs.lstatSync(path))
  }

  #createBacking(path: string, parent: Node, mode: number, caller: Caller): number {
    const fd = fs.openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode & MODE_BITS)
    try {
      this.#own({ fd, path }, fs.fstatSync(fd), parent, REGULAR | mode, caller)
    } catch (error) {
      fs.closeSync(fd)
      fs.unlinkSync(path)
      throw error
    }
    return fd
  }

  /** Gives what was just made to its caller, with the mode that was asked for, whatever this process's umask is. */
  #own(reach: Reach, now: Attributes, parent: Node, mode: number | undefined, caller: Caller): void {
    const gid = (parent.mode & SET_GROUP_ID) !== 0 ? parent.gid : caller.gid
    if (now.uid !== caller.uid || now.gid !== gid) changeOwner(reach, caller.uid, gid)
    if (mode !== undefined && (mode & MODE_BITS) !== (now.mode & MODE_BITS)) changeMode(reach, mode)
  }
}
