/**
 * Creates backing files with the caller's ownership and the requested mode, whatever this process's own user and umask
 * are. A file whose ownership cannot be set is removed again.
 */

import fs from 'node:fs'
import { native, type NativePath } from '../../util/path-bytes.ts'
import type { Caller } from '../content.ts'
import { changeMode, changeOwner, type Reach, SET_GROUP_ID } from './attributes.ts'
import type { Node } from './nodes.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = fs.constants
const MODE_BITS = 0o7777

export interface Ownership {
  readonly uid: number
  readonly gid: number
}

/** A file belongs to its creator, and to the creator's group unless the directory passes on its own. */
export function ownership(parent: Node, caller: Caller): Ownership {
  return { uid: caller.uid, gid: handsGroupOn(parent) ? parent.gid : caller.gid }
}

/** Creates a regular file that must not exist, and returns its descriptor, open for reading and writing. */
export function makeFile(path: NativePath, mode: number, owner: Ownership): number {
  const fd = fs.openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode & MODE_BITS)
  handOver({ fd, path }, mode, owner, () => {
    fs.closeSync(fd)
    fs.unlinkSync(path)
  })
  return fd
}

/** A directory inherits the set-group-id bit of its parent. */
export function makeDirectory(path: NativePath, mode: number, owner: Ownership, parent: Node): void {
  fs.mkdirSync(path, mode & MODE_BITS)
  const inherited = handsGroupOn(parent) ? SET_GROUP_ID : 0
  handOver({ fd: undefined, path }, mode | inherited, owner, () => fs.rmdirSync(path))
}

export function makeSymlink(path: NativePath, target: string, owner: Ownership): void {
  fs.symlinkSync(native(target), path)
  handOver({ fd: undefined, path }, undefined, owner, () => fs.unlinkSync(path))
}

function handsGroupOn(directory: Node): boolean {
  return (directory.mode & SET_GROUP_ID) !== 0
}

function handOver(made: Reach, mode: number | undefined, owner: Ownership, undo: () => void): void {
  try {
    const now = made.fd === undefined ? fs.lstatSync(made.path) : fs.fstatSync(made.fd)
    if (now.uid !== owner.uid || now.gid !== owner.gid) changeOwner(made, owner.uid, owner.gid)
    if (mode !== undefined && (mode & MODE_BITS) !== (now.mode & MODE_BITS)) changeMode(made, mode)
  } catch (error) {
    undo()
    throw error
  }
}
