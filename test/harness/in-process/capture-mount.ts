import fs from 'node:fs'
import type { Caller, FileContent, Volume } from '../../../src/fuse/content.ts'
import { FsError } from '../../../src/fuse/errno.ts'
import { isWriter } from '../../../src/fuse/tree/open-files.ts'
import type { Files } from '../../../src/util/files.ts'
import { native } from '../../../src/util/path-bytes.ts'
import type { OpenMode, VfsFile, VfsFiles } from './vfs-files.ts'

const { O_RDWR, O_CREAT, O_EXCL } = fs.constants
const READ = 0
const WRITE = 2

/** The lengths into which the kernel cuts a write of an application. Their sum is its length. */
export type Cut = (lengthBytes: number) => number[]

export interface Operation {
  readonly kind: 'write' | 'truncate' | 'unlink' | 'rename' | 'sync' | 'sync-directory'
  readonly path: string
  readonly position?: number
  readonly data?: Uint8Array
}

interface Node {
  path: string
  readonly fd: number
  readonly content: FileContent
  handles: number
  writers: number
}

/**
 * A mount without a kernel: names, handles and a backing descriptor for each file, in front of a volume. The
 * conformance suite tests the rest (attributes, caching, errno on the wire) on a real mount.
 */
export class CaptureMount implements VfsFiles {
  readonly root: string
  readonly volume: Volume
  cut: Cut = (lengthBytes) => [lengthBytes]
  /** Called before each operation. An error that it throws reaches the application. */
  before: (operation: Operation) => void = () => {}
  /** Called after each operation. An error that it throws reaches the application, although the operation succeeded. */
  after: (operation: Operation) => void = () => {}
  readonly #files: Files
  readonly #nodes = new Map<string, Node>()

  constructor(root: string, volume: Volume, files: Files) {
    this.root = root
    this.volume = volume
    this.#files = files
    const remove = (path: string) => {
      this.#files.unlink(this.#backing(path))
      this.#nodes.delete(path)
    }
    volume.attach?.({ remove, made: () => undefined })
  }

  open(path: string, mode: OpenMode, caller: Caller = CALLER): VfsFile {
    try {
      return this.#open(path, mode, caller)
    } catch (error) {
      // The kernel looks the name up again, once.
      if (!(error instanceof FsError) || error.code !== 'ESTALE') throw error
      return this.#open(path, mode, caller)
    }
  }

  #open(path: string, mode: OpenMode, caller: Caller): VfsFile {
    const isNew = mode.create && !this.#files.exists(this.#backing(path))
    const node = this.#nodes.get(path) ?? this.#openBacking(path, mode)
    const flags = (mode.flags ?? (mode.readOnly ? READ : WRITE)) | (isNew ? O_CREAT : 0)
    try {
      node.content.opened(flags, caller)
    } catch (error) {
      if (node.handles === 0) this.#files.close(node.fd)
      if (isNew) this.#files.unlink(this.#backing(path))
      throw error
    }
    this.#nodes.set(path, node)
    node.handles++
    if (isWriter(flags)) node.writers++
    return this.#handle(node, flags, caller)
  }

  unlink(path: string): void {
    if (!this.#files.exists(this.#backing(path))) throw new FsError('ENOENT')
    const perform = () => {
      this.#files.unlink(this.#backing(path))
      this.#nodes.delete(path)
    }
    this.#doing({ kind: 'unlink', path }, () => this.volume.unlink(path, perform, CALLER))
  }

  rename(from: string, to: string): void {
    const perform = () => {
      this.#files.rename(this.#backing(from), this.#backing(to))
      const node = this.#nodes.get(from)
      this.#nodes.delete(from)
      this.#nodes.delete(to)
      if (node !== undefined) this.#nodes.set(to, Object.assign(node, { path: to }))
    }
    const isDirectory = fs.statSync(native(this.#backing(from))).isDirectory()
    const isOpen = this.#nodes.has(from)
    this.#doing({ kind: 'rename', path: from }, () =>
      this.volume.rename(from, to, isDirectory, perform, CALLER, isOpen),
    )
  }

  sizeOf(path: string): number | undefined {
    const node = this.#nodes.get(path)
    if (node !== undefined) return this.#files.size(node.fd)
    return fs.statSync(native(this.#backing(path)), { throwIfNoEntry: false })?.size
  }

  syncDirectory(path: string): void {
    const perform = () => this.#files.syncDirectory(path === '' ? this.root : this.#backing(path))
    this.#doing({ kind: 'sync-directory', path }, () => this.volume.syncDirectory(path, perform))
  }

  #openBacking(path: string, { create, exclusive }: OpenMode): Node {
    const there = this.#files.exists(this.#backing(path))
    if (!there && !create) throw new FsError('ENOENT')
    if (there && create && exclusive) throw new FsError('EEXIST')
    const fd = this.#files.open(this.#backing(path), there ? O_RDWR : O_RDWR | O_CREAT | O_EXCL)
    return { path, fd, content: this.volume.content(path, fd), handles: 0, writers: 0 }
  }

  #handle(node: Node, flags: number, caller: Caller): VfsFile {
    const { content } = node
    return {
      read: (into, position) => content.read(into, 0, into.length, position),
      write: (data, position) => {
        let at = 0
        let failed: unknown
        for (const length of this.cut(data.length)) {
          const piece = data.subarray(at, at + length)
          const operation: Operation = { kind: 'write', path: node.path, position: position + at, data: piece }
          const write = () => this.#doing(operation, () => content.write(piece, operation.position as number, caller))
          try {
            write()
          } catch (error) {
            // After a partial write SQLite gets no error: it retries the rest.
            if (at === 0 || failed !== undefined) throw error
            failed = error
            write()
          }
          at += length
        }
      },
      truncate: (sizeBytes) =>
        this.#doing({ kind: 'truncate', path: node.path, position: sizeBytes }, () =>
          content.truncate(sizeBytes, caller),
        ),
      sync: () => this.#doing({ kind: 'sync', path: node.path }, () => content.sync(false)),
      size: () => content.sizeBytes?.() ?? this.#files.size(node.fd),
      close: () => this.#release(node, flags),
    }
  }

  #release(node: Node, flags: number): void {
    node.handles--
    if (isWriter(flags)) node.writers--
    try {
      node.content.released(flags, node.handles, node.writers)
    } finally {
      if (node.handles === 0) {
        if (this.#nodes.get(node.path) === node) this.#nodes.delete(node.path)
        this.#files.close(node.fd)
      }
    }
  }

  #doing(operation: Operation, perform: () => void): void {
    this.before(operation)
    perform()
    this.after(operation)
  }

  #backing(path: string): string {
    return `${this.root}/${path}`
  }
}

const CALLER: Caller = { tid: process.pid, uid: 0, gid: 0 }
