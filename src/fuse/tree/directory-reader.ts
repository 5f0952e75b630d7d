/** Reads directories for the kernel, piece by piece. */

import fs from 'node:fs'
import { nameBytes } from '../../util/path-bytes.ts'
import type { Attributes, DirectorySink, Entry } from '../filesystem.ts'
import type { BackingDirectory } from './backing-directory.ts'
import { DirectoryListing, DOT_COOKIE, DOT_DOT_COOKIE } from './listing.ts'
import type { Node, NodeTable } from './nodes.ts'

export class DirectoryReader {
  readonly #nodes: NodeTable
  readonly #backing: BackingDirectory

  constructor(nodes: NodeTable, backing: BackingDirectory) {
    this.#nodes = nodes
    this.#backing = backing
  }

  /** Adds the names after `cookie` until `sink` is full. `entry`: each name is looked up as well. */
  read(
    node: Node,
    cookie: number,
    sink: DirectorySink,
    entry: ((name: string, attributes: Attributes) => Entry) | undefined,
  ): void {
    if (cookie < DOT_COOKIE && !addDots('.', node.ino, DOT_COOKIE, sink)) return
    if (cookie < DOT_DOT_COOKIE && !addDots('..', (node.parent ?? node).ino, DOT_DOT_COOKIE, sink)) return
    for (const [name, own] of this.#listing(node, cookie).after(cookie)) {
      const size = nameBytes(name)
      if (!sink.fits(size)) return
      const attributes = this.#backing.attributes(this.#nodes.childPath(node, name))
      if (attributes === undefined) continue
      sink.add(name, size, attributes.ino, attributes.mode, own, entry?.(name, attributes))
    }
  }

  /** The directory's listing, refreshed whenever a reader starts from the beginning. */
  #listing(node: Node, cookie: number): DirectoryListing {
    const listing = (node.listing ??= new DirectoryListing())
    if (cookie <= DOT_DOT_COOKIE) listing.refresh(this.#backing.names(this.#nodes.path(node)))
    return listing
  }
}

function addDots(name: '.' | '..', ino: number, cookie: number, sink: DirectorySink): boolean {
  if (!sink.fits(name.length)) return false
  sink.add(name, name.length, ino, fs.constants.S_IFDIR, cookie, undefined)
  return true
}
