import type { Random } from '../random.ts'
import type { InProcessNode } from './node-in-process.ts'
import type { OpenMode, VfsFile, VfsFiles } from './vfs-files.ts'

const PAGE = 4096

/**
 * The kernel's cache of WALs, in front of a node. An application's writes stay in it, also where the node has changed
 * the bytes in the file. What the node reports as mended is dropped at once, or only when the file is opened again.
 */
export class PageCache implements VfsFiles {
  readonly #node: InProcessNode
  readonly #random: Random
  readonly #pages = new Map<string, Map<number, Uint8Array>>()
  readonly #stale = new Set<string>()
  #seen = 0

  constructor(node: InProcessNode, random: Random) {
    this.#node = node
    this.#random = random
  }

  open(path: string, mode: OpenMode): VfsFile {
    const file = this.#node.mount.open(path, mode)
    if (!path.endsWith('-wal')) return file
    if (this.#stale.delete(path)) this.#pages.delete(path)
    return {
      ...file,
      read: (into, position) => this.#read(path, file, into, position),
      write: (data, position) => {
        file.write(data, position)
        this.#written(path, data, position)
      },
      truncate: (sizeBytes) => {
        file.truncate(sizeBytes)
        this.#pages.delete(path)
      },
    }
  }

  unlink(path: string): void {
    this.#node.mount.unlink(path)
    this.#pages.delete(path)
  }

  sizeOf(path: string): number | undefined {
    return this.#node.mount.sizeOf(path)
  }

  syncDirectory(path: string): void {
    this.#node.mount.syncDirectory(path)
  }

  /** A page that was not cached becomes so only if all of it is written. */
  #written(path: string, data: Uint8Array, position: number): void {
    const pages = this.#of(path)
    for (let number = Math.floor(position / PAGE); number * PAGE < position + data.length; number++) {
      const from = Math.max(position, number * PAGE)
      const part = data.subarray(from - position, Math.min(position + data.length, (number + 1) * PAGE) - position)
      if (part.length === PAGE) pages.set(number, part.slice())
      else pages.get(number)?.set(part, from - number * PAGE)
    }
    const { mended } = this.#node
    for (; this.#seen < mended.length; this.#seen++) {
      const name = mended[this.#seen] as string
      if (this.#random.next() < 0.5) this.#pages.delete(name)
      else this.#stale.add(name)
    }
  }

  #read(path: string, file: VfsFile, into: Uint8Array, position: number): number {
    const pages = this.#of(path)
    const length = Math.max(0, Math.min(into.length, file.size() - position))
    for (let at = 0; at < length;) {
      const number = Math.floor((position + at) / PAGE)
      let page = pages.get(number)
      if (page === undefined) {
        page = new Uint8Array(PAGE)
        file.read(page, number * PAGE)
        pages.set(number, page)
      }
      const inside = position + at - number * PAGE
      const part = page.subarray(inside, Math.min(PAGE, inside + length - at))
      into.set(part, at)
      at += part.length
    }
    return length
  }

  #of(path: string): Map<number, Uint8Array> {
    const pages = this.#pages.get(path) ?? new Map<number, Uint8Array>()
    this.#pages.set(path, pages)
    return pages
  }
}
