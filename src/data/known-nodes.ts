/** The other nodes of the cluster, as its leaders have named them: who may have more than this node. */

import { z } from 'zod'
import { LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { type NodeName, nodeName } from '../util/node-address.ts'
import { readState, StateDamagedError, writeState } from '../util/state-file.ts'

/** With more, those are forgotten that came first. A node that only came and went must not fill the list for good. */
export const MAX_KNOWN_NODES = 128
/** Of longer ones the beginning is kept: the list is one small file. */
const MAX_HOSTNAME = 64

const FORMAT = 1
const STATE = { format: FORMAT, schema: z.strictObject({ nodes: z.array(nodeName).max(MAX_KNOWN_NODES) }) }

/** How often an announcement is written at most: a primary may send any number. */
const WRITE_MS = 1_000

export class KnownNodes {
  readonly #files: Files
  readonly #path: string
  readonly #self: string
  #nodes: readonly NodeName[]
  /** What the file has. */
  #stored: readonly NodeName[]
  #storedAtMs = -Infinity
  #timer: NodeJS.Timeout | undefined

  /** Throws LtxdError. */
  constructor(files: Files, path: string, self: string) {
    this.#files = files
    this.#path = path
    this.#self = self
    this.#nodes = this.#stored = readNodes(files, path)
  }

  list(): readonly NodeName[] {
    return this.#nodes
  }

  /** A node follows this one. Returns whether it is new. Throws when that cannot be noted. */
  meet(node: NodeName): boolean {
    const known = this.#nodes.find(({ nodeId }) => nodeId === node.nodeId)
    if (known !== undefined && known.hostname === node.hostname.slice(0, MAX_HOSTNAME)) return false
    return this.#replace([...this.#nodes.filter((other) => other !== known), node])
  }

  /** A node has stopped that had nothing which this one lacks. */
  part(nodeId: string): boolean {
    return this.#replace(this.#nodes.filter((node) => node.nodeId !== nodeId))
  }

  /** What the leader knows. On the disk within a second. Throws when it, or what came before, cannot be written. */
  announced(nodes: readonly NodeName[]): void {
    this.#nodes = this.#others(nodes)
    const leftMs = this.#storedAtMs + WRITE_MS - performance.now()
    if (leftMs <= 0) this.#store()
    else if (this.#timer === undefined) this.#storeIn(leftMs)
  }

  /** Writes what is not written yet, and nothing after that. */
  close(): void {
    try {
      this.#store()
    } finally {
      clearTimeout(this.#timer)
    }
  }

  /** On the disk when this returns. */
  #replace(nodes: readonly NodeName[]): boolean {
    const before = this.#nodes
    const others = this.#others(nodes)
    if (isSame(others, before)) return false
    this.#nodes = others
    try {
      this.#store()
    } catch (error) {
      this.#nodes = before
      throw error
    }
    return true
  }

  #others(nodes: readonly NodeName[]): readonly NodeName[] {
    return nodes
      .filter(({ nodeId }) => nodeId !== this.#self)
      .slice(-MAX_KNOWN_NODES)
      .map(({ nodeId, hostname }) => ({ nodeId, hostname: hostname.slice(0, MAX_HOSTNAME) }))
  }

  #storeIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      try {
        this.#store()
      } catch {
        // It is tried again. The next announcement, or the end of the node, says why.
      }
    }, ms).unref()
  }

  #store(): void {
    const nodes = this.#nodes
    if (!isSame(nodes, this.#stored)) {
      this.#storeIn(WRITE_MS)
      writeState(this.#files, this.#path, FORMAT, { nodes })
      this.#stored = nodes
      this.#storedAtMs = performance.now()
    }
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}

function isSame(one: readonly NodeName[], other: readonly NodeName[]): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other)
}

function readNodes(files: Files, path: string): readonly NodeName[] {
  try {
    return readState(files, path, STATE)?.nodes ?? []
  } catch (error) {
    if (!(error instanceof StateDamagedError)) throw error
    throw new LtxdError(
      'DATA_DAMAGED',
      `${path} is not as ltxd wrote it: ${error.problem}. Put it back from a copy; or remove it: until a primary names ` +
        'the nodes of the cluster again, this node waits for none of them when the lease loses its record',
    )
  }
}
