/** Reads and changes attributes of backing files, by descriptor if there is one, and never through a symlink. */

import fs from 'node:fs'
import { O_PATH } from '../../util/named-directory.ts'
import type { NativePath } from '../../util/path-bytes.ts'
import type { Volume } from '../content.ts'
import type { AttributeChange, Attributes } from '../filesystem.ts'
import type { BackingDirectory } from './backing-directory.ts'
import type { Node, NodeTable } from './nodes.ts'

const SET_USER_ID = 0o4000
export const SET_GROUP_ID = 0o2000
const GROUP_EXECUTE = 0o010
const PERMISSION_BITS = 0o7777

/** How to reach a backing file: by its descriptor while it is open, otherwise by its path. */
export interface Reach {
  readonly fd: number | undefined
  readonly path: NativePath
}

/** The attributes of nodes, which are those of their backing files. */
export class NodeAttributes {
  readonly #nodes: NodeTable
  readonly #backing: BackingDirectory

  readonly #volume: Pick<Volume, 'ownerChanged'>

  constructor(nodes: NodeTable, backing: BackingDirectory, volume: Pick<Volume, 'ownerChanged'>) {
    this.#nodes = nodes
    this.#backing = backing
    this.#volume = volume
  }

  read(node: Node): Attributes {
    const attributes = this.#reach(node, readAttributes)
    const sizeBytes = node.open?.content.sizeBytes?.()
    if (sizeBytes !== undefined) attributes.size = sizeBytes
    node.seen(attributes)
    return attributes
  }

  /** The owner comes before the mode, because it clears mode bits; the times come last. */
  change(node: Node, change: AttributeChange): void {
    this.#reach(node, (reach) => {
      if (change.uid !== undefined || change.gid !== undefined) changeOwner(reach, change.uid, change.gid)
      if (change.mode !== undefined) changeMode(reach, change.mode)
      if (change.atime !== undefined || change.mtime !== undefined) changeTimes(reach, change)
    })
    const isOwners = change.uid !== undefined || change.gid !== undefined || change.mode !== undefined
    if (isOwners && node.isRegular && node.parent !== undefined) this.#volume.ownerChanged?.(this.#nodes.path(node))
  }

  /** Removes the bits that a write or truncation removes. Returns whether there were any. */
  killPrivileges(node: Node): boolean {
    const mode = withoutPrivileges(node.mode)
    if (mode === node.mode) return false
    this.#reach(node, (reach) => changeMode(reach, mode))
    node.mode = mode
    return true
  }

  #reach<T>(node: Node, use: (reach: Reach) => T): T {
    if (node.open !== undefined) return use({ fd: node.open.fd, path: '' })
    return this.#backing.within(this.#nodes.path(node), (path) => use({ fd: undefined, path }))
  }
}

function readAttributes(reach: Reach): fs.Stats {
  return reach.fd === undefined ? fs.lstatSync(reach.path) : fs.fstatSync(reach.fd)
}

/** The mode without the bits that a write or truncation removes, as the kernel does for its own file systems. */
function withoutPrivileges(mode: number): number {
  // Set-group-id without group execution used to mean mandatory locking, and stays.
  const setGroupId = (mode & GROUP_EXECUTE) !== 0 ? SET_GROUP_ID : 0
  return mode & ~(SET_USER_ID | setGroupId)
}

export function changeMode(reach: Reach, mode: number): void {
  const bits = mode & PERMISSION_BITS
  if (reach.fd !== undefined) return fs.fchmodSync(reach.fd, bits)
  const fd = fs.openSync(reach.path, O_PATH | fs.constants.O_NOFOLLOW)
  try {
    // chmod would follow a link.
    if (!fs.fstatSync(fd).isSymbolicLink()) fs.chmodSync(`/proc/self/fd/${fd}`, bits)
  } finally {
    fs.closeSync(fd)
  }
}

/** undefined leaves owner or group unchanged. The backing file system clears set-id bits itself. */
export function changeOwner(reach: Reach, uid: number | undefined, gid: number | undefined): void {
  if (reach.fd !== undefined) fs.fchownSync(reach.fd, uid ?? -1, gid ?? -1)
  else fs.lchownSync(reach.path, uid ?? -1, gid ?? -1)
}

/** A time that is not given stays unchanged. */
function changeTimes(reach: Reach, change: AttributeChange): void {
  const now = change.atime === undefined || change.mtime === undefined ? readAttributes(reach) : undefined
  const atime = nodeTime(change.atime ?? (now?.atimeMs ?? 0) / 1000)
  const mtime = nodeTime(change.mtime ?? (now?.mtimeMs ?? 0) / 1000)
  if (reach.fd !== undefined) fs.futimesSync(reach.fd, atime, mtime)
  else fs.lutimesSync(reach.path, atime, mtime)
}

/** Converts seconds for Node, which reads a negative number as "now", but not a Date. */
function nodeTime(seconds: number): number | Date {
  const LIMIT = 8.64e12
  return seconds >= 0 ? Math.min(seconds, LIMIT) : new Date(Math.max(seconds, -LIMIT) * 1000)
}
