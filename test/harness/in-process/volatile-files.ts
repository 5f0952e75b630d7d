import fs from 'node:fs'
import path from 'node:path'
import type { Files } from '../../../src/util/files.ts'
import type { Random } from '../random.ts'

/** A change of a file that a power loss may take back. */
type Change = { readonly position: number; readonly data: Buffer } | { readonly sizeBytes: number }

interface Inode {
  /** The content that is certainly on the disk. */
  durable: Buffer
  pending: Change[]
}

type NameChange =
  | { readonly kind: 'link'; readonly path: string; readonly inode: Inode | 'directory' }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string; readonly inode: Inode | 'directory' }

const SECTOR = 512

/**
 * Files over a real directory that remember unsynced changes. `losePower` writes the directory as a disk might have it
 * afterwards: the synced content of each file and some of the sectors written since; the synced names and the first few
 * changes of names since. This is stricter than ext4: a change becomes durable only by an fsync of its file or
 * directory.
 */
export class VolatileFiles implements Files {
  readonly #files: Files
  readonly #root: string
  readonly #inodes = new Map<string, Inode | 'directory'>()
  #durableNames = new Map<string, Inode | 'directory'>()
  #nameChanges: NameChange[] = []
  readonly #open_ = new Map<number, Inode>()

  /** The present content of `root` counts as durable. */
  constructor(files: Files, root: string) {
    this.#files = files
    this.#root = root
    for (const name of fs.readdirSync(root, { recursive: true }) as string[])
      this.#inodes.set(`${root}/${name}`, 'directory')
    this.#inodes.set(root, 'directory')
    this.#durableNames = new Map(this.#inodes)
  }

  /** `survival` is the probability that an unsynced sector or name survives; 0 forgets all. */
  losePower(to: string, random: Random, survival: number): void {
    fs.rmSync(to, { recursive: true, force: true })
    const names = new Map(this.#durableNames)
    const kept = survival === 0 ? 0 : random.integer(0, this.#nameChanges.length)
    for (const change of this.#nameChanges.slice(0, kept)) applyName(names, change)
    const sorted = Array.from(names).sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [name, inode] of sorted) {
      const target = to + name.slice(this.#root.length)
      const parentIsThere = name === this.#root || names.has(path.dirname(name))
      if (!parentIsThere) names.delete(name)
      else if (inode === 'directory') fs.mkdirSync(target, { recursive: true })
      else
        fs.writeFileSync(
          target,
          contentOf(inode, () => random.next() < survival),
        )
    }
  }

  open(name: string, flags: number, mode?: number): number {
    const there = this.#files.exists(name)
    const fd = this.#files.open(name, flags, mode)
    if (!there) {
      const inode: Inode = { durable: Buffer.alloc(0), pending: [] }
      this.#inodes.set(name, inode)
      this.#nameChanges.push({ kind: 'link', path: name, inode })
    }
    const inode = this.#inodes.get(name)
    if (inode === undefined || inode === 'directory') throw new Error(`${name} came into being behind the test's back`)
    if ((flags & fs.constants.O_TRUNC) !== 0 && there) inode.pending.push({ sizeBytes: 0 })
    this.#open_.set(fd, inode)
    return fd
  }

  close(fd: number): void {
    this.#open_.delete(fd)
    this.#files.close(fd)
  }

  read(fd: number, into: Uint8Array, at: number, length: number, position: number): number {
    return this.#files.read(fd, into, at, length, position)
  }

  write(fd: number, from: Uint8Array, at: number, length: number, position: number): void {
    this.#files.write(fd, from, at, length, position)
    this.#inode(fd).pending.push({ position, data: Buffer.from(from.subarray(at, at + length)) })
  }

  truncate(fd: number, sizeBytes: number): void {
    this.#files.truncate(fd, sizeBytes)
    this.#inode(fd).pending.push({ sizeBytes })
  }

  sync(fd: number): void {
    this.#files.sync(fd)
    const inode = this.#inode(fd)
    inode.durable = contentOf(inode, () => true)
    inode.pending = []
  }

  syncDirectory(directory: string): void {
    this.#files.syncDirectory(directory)
    const left: NameChange[] = []
    for (const change of this.#nameChanges) {
      const where = change.kind === 'rename' ? change.to : change.path
      if (path.dirname(where) === path.resolve(directory)) applyName(this.#durableNames, change)
      else left.push(change)
    }
    this.#nameChanges = left
  }

  size(fd: number): number {
    return this.#files.size(fd)
  }

  identity(fd: number): string {
    return this.#files.identity(fd)
  }

  exists(name: string): boolean {
    return this.#files.exists(name)
  }

  status(name: string): fs.Stats | undefined {
    return this.#files.status(name)
  }

  remove(name: string): void {
    if (this.#files.exists(name)) this.unlink(name)
  }

  list(directory: string): string[] {
    return this.#files.list(directory)
  }

  makeDirectory(directory: string): void {
    for (let at = directory, made: string[] = []; ; at = path.dirname(at)) {
      if (!this.#files.exists(at)) {
        made = [at, ...made]
        continue
      }
      for (const name of made) {
        this.#inodes.set(name, 'directory')
        this.#nameChanges.push({ kind: 'link', path: name, inode: 'directory' })
      }
      break
    }
    this.#files.makeDirectory(directory)
  }

  removeDirectory(directory: string): void {
    this.#files.removeDirectory(directory)
    this.#inodes.delete(directory)
    this.#nameChanges.push({ kind: 'unlink', path: directory })
  }

  unlink(name: string): void {
    this.#files.unlink(name)
    this.#inodes.delete(name)
    this.#nameChanges.push({ kind: 'unlink', path: name })
  }

  rename(from: string, to: string): void {
    this.#files.rename(from, to)
    const inode = this.#inodes.get(from)
    if (inode === undefined) throw new Error(`${from} came into being behind the test's back`)
    moveNames(this.#inodes, from, to)
    this.#nameChanges.push({ kind: 'rename', from, to, inode })
  }

  #inode(fd: number): Inode {
    const inode = this.#open_.get(fd)
    if (inode === undefined) throw new Error(`descriptor ${fd} is not open`)
    return inode
  }
}

function applyName(names: Map<string, Inode | 'directory'>, change: NameChange): void {
  if (change.kind === 'link') names.set(change.path, change.inode)
  else if (change.kind === 'unlink') names.delete(change.path)
  else if (names.has(change.from)) moveNames(names, change.from, change.to)
  else names.set(change.to, change.inode)
}

/** Renames a file, or a directory with everything in it. */
function moveNames(names: Map<string, Inode | 'directory'>, from: string, to: string): void {
  for (const name of names.keys()) if (name.startsWith(`${to}/`)) names.delete(name)
  for (const [name, inode] of Array.from(names)) {
    if (name !== from && !name.startsWith(`${from}/`)) continue
    names.delete(name)
    names.set(to + name.slice(from.length), inode)
  }
}

/** The content after a power loss. Sectors reach the disk in any order, so each may or may not survive. */
function contentOf({ durable, pending }: Inode, survives: () => boolean): Buffer {
  let content = Buffer.from(durable)
  const ensure = (length: number) => {
    if (content.length < length) content = Buffer.concat([content, Buffer.alloc(length - content.length)])
  }
  for (const change of pending) {
    if ('sizeBytes' in change) {
      if (!survives()) continue
      ensure(change.sizeBytes)
      content = content.subarray(0, change.sizeBytes)
      continue
    }
    const { position, data } = change
    for (let at = 0; at < data.length;) {
      const next = Math.min(data.length, (Math.floor((position + at) / SECTOR) + 1) * SECTOR - position)
      if (survives()) {
        ensure(position + next)
        data.copy(content, position + at, at, next)
      }
      at = next
    }
  }
  return content
}
