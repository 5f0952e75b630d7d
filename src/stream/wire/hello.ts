/** Decides whether two nodes may stream with each other. Pure. */

import { StreamRejectedError } from './errors.ts'
import type { PrimaryHello, ReplicaHello } from './messages.ts'
import { PROTOCOL_VERSION } from './messages.ts'

export interface PrimarySelf {
  readonly nodeId: string
  readonly hostname: string
  readonly clusterId: string
  readonly term: bigint
}

/** Why the primary rejects a replica; undefined when it accepts it. */
export function rejectionOfReplica(hello: ReplicaHello, self: PrimarySelf): StreamRejectedError | undefined {
  if (hello.protocol !== PROTOCOL_VERSION) return protocolMismatch(hello)
  if (hello.clusterId !== undefined && hello.clusterId !== self.clusterId) {
    return new StreamRejectedError(
      'CLUSTER_MISMATCH',
      `node ${named(hello)} belongs to cluster ${hello.clusterId}, this node (${named(self)}) to ${self.clusterId}: ` +
        'point it at its own cluster, or start it with an empty data directory to join this one',
    )
  }
  if (hello.nodeId === self.nodeId) {
    return new StreamRejectedError(
      'SAME_NODE',
      `the replica on ${hello.hostname} has this node's own id ${self.nodeId}: was the data directory copied? ` +
        'Start the copy with an empty one',
    )
  }
  // I6: another node was elected after this one.
  if (hello.term > self.term) {
    return new StreamRejectedError(
      'TERM_BEHIND',
      `node ${named(hello)} has seen term ${hello.term}, this node leads in term ${self.term}: another node was elected`,
    )
  }
  return undefined
}

export interface ReplicaSelf {
  readonly nodeId: string
  /** Undefined when the node joins any cluster. */
  readonly clusterId: string | undefined
  /** The highest term seen. */
  readonly term: bigint
}

/** Why the replica rejects a primary; undefined when it accepts it. */
export function rejectionOfPrimary(hello: PrimaryHello, self: ReplicaSelf): StreamRejectedError | undefined {
  if (hello.protocol !== PROTOCOL_VERSION) return protocolMismatch(hello)
  if (self.clusterId !== undefined && hello.clusterId !== self.clusterId) {
    return new StreamRejectedError(
      'CLUSTER_MISMATCH',
      `the primary ${named(hello)} belongs to cluster ${hello.clusterId}, this node to ${self.clusterId}: ` +
        'check which primary this node is told to follow, or start it with an empty data directory to join that cluster',
    )
  }
  if (hello.term < self.term) {
    return new StreamRejectedError(
      'TERM_BEHIND',
      `${named(hello)} leads in term ${hello.term}, but this node has seen term ${self.term}: it is no longer the primary`,
    )
  }
  return undefined
}

function protocolMismatch(hello: PrimaryHello | ReplicaHello): StreamRejectedError {
  return new StreamRejectedError(
    'PROTOCOL_MISMATCH',
    `node ${named(hello)} speaks version ${hello.protocol} of the stream, this node ${PROTOCOL_VERSION}: ` +
      'upgrade the older one',
  )
}

function named({ nodeId, hostname }: { readonly nodeId: string; readonly hostname: string }): string {
  return `${nodeId} on ${hostname}`
}
