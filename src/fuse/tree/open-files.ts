/** Open handles, and the backing descriptors that they share. */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { NativePath } from '../../util/path-bytes.ts'
import type { Caller, Volume } from '../content.ts'
import { errnoNumber, errnoOf, rejection } from '../errno.ts'
import type { BackingDirectory } from './backing-directory.ts'
import type { Node, OpenFile } from './nodes.ts'

const { O_ACCMODE, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = { ...fs.constants, O_ACCMODE: 3 }

interface Handle {
  readonly node: Node
  readonly flags: number
}

export class OpenFiles {
  readonly #backing: BackingDirectory
  readonly #volume: Volume
  readonly #handles = new Map<number, Handle>()
  #lastHandle = 0

  constructor(backing: BackingDirectory, volume: Volume) {
    this.#backing = backing
    this.#volume = volume
  }

  /** The node that a handle is on, with its open file. */
  get(handle: number): { node: Node; file: OpenFile } {
    const node = this.#handles.get(handle)?.node
    if (node?.open === undefined) throw rejection('EBADF')
    return { node, file: node.open }
  }

  /**
   * Opens one more handle on `node`. The first one opens the backing file, or takes over `fd` when the caller has just
   * made it. `path` is the file's path in the volume.
   */
  open(node: Node, path: string, flags: number, caller: Caller, fd?: number): number {
    const file = node.open ?? this.#openBacking(path, flags, fd)
    try {
      if (isWriter(flags) && file.readOnly) throw rejection('EACCES')
      file.content.opened(flags, caller)
    } catch (error) {
      if (file.handles === 0) closeUnopened(file, flags)
      throw error
    }
    node.open = file
    file.handles++
    if (isWriter(flags)) file.writers++
    const handle = ++this.#lastHandle
    this.#handles.set(handle, { node, flags })
    return handle
  }

  /** Closes a handle. The last one also closes the backing file, even if the content throws. */
  release(handle: number): void {
    const { node, file } = this.get(handle)
    const { flags } = this.#handles.get(handle) as Handle
    this.#handles.delete(handle)
    file.handles--
    if (isWriter(flags)) file.writers--
    assert(file.handles >= 0 && file.writers >= 0, 'more handles were released than opened')
    try {
      file.content.released(flags, file.handles, file.writers)
    } finally {
      if (file.handles === 0) {
        node.open = undefined
        fs.closeSync(file.fd)
      }
    }
  }

  /** Releases every open file, because no request will follow; then throws the first error. */
  releaseAll(): void {
    const failures: unknown[] = []
    for (const handle of [...this.#handles.keys()]) {
      try {
        this.release(handle)
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  #openBacking(path: string, flags: number, made: number | undefined): OpenFile {
    const opened = () => this.#backing.within(path, (at) => openForBoth(at, flags))
    const { fd, readOnly } = made === undefined ? opened() : { fd: made, readOnly: false }
    try {
      return { fd, readOnly, content: this.#volume.content(path, fd), handles: 0, writers: 0 }
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
  }
}

/** The content may have taken the descriptor, although its first handle was rejected. */
function closeUnopened({ content, fd }: OpenFile, flags: number): void {
  try {
    content.released(flags, 0, 0)
  } finally {
    fs.closeSync(fd)
  }
}

export function isWriter(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY
}

/** Opens for reading and writing, whatever the first handle asks for; if that is not permitted, for reading only. */
function openForBoth(backingPath: NativePath, flags: number): { fd: number; readOnly: boolean } {
  // O_NONBLOCK: if a pipe has replaced the file, the open must not wait for its other end.
  const safely = O_NOFOLLOW | O_NONBLOCK
  try {
    return { fd: fs.openSync(backingPath, O_RDWR | safely), readOnly: false }
  } catch (error) {
    const errno = errnoOf(error)
    const mayNotWrite = errno === errnoNumber('EACCES') || errno === errnoNumber('EROFS')
    if (!mayNotWrite || isWriter(flags)) throw error
    return { fd: fs.openSync(backingPath, O_RDONLY | safely), readOnly: true }
  }
}
