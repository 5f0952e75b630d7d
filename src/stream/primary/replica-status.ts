import type { Position } from '../../ltx/format/types.ts'
import type { ReplicaStream } from './replica-stream.ts'

/** A replica, as its primary sees it. */
export interface ReplicaStatus {
  readonly nodeId: string
  readonly hostname: string
  readonly url: string
  readonly connectedAtMs: number
  /** Acknowledged, therefore applied there. Databases without a position in this history are absent. */
  readonly positions: ReadonlyMap<string, Position>
  /** It stops, so it will not be the successor. */
  readonly leaving: boolean
  /** Whether it may lead. */
  readonly candidate: boolean
  /** Transactions that it has not acknowledged, over all databases. */
  readonly behind: number
  /** Sent, but not consumed by the replica's sink yet. Bounded, however slow the replica is. */
  readonly unconsumedBytes: number
}

export function replicaStatus(stream: ReplicaStream, here: ReadonlyMap<string, Position>): ReplicaStatus {
  const positions = new Map<string, Position>()
  let behind = 0n
  for (const [name, target] of here) {
    const feed = stream.feeds.get(name)
    const at = feed?.sent.acknowledged
    if (at !== undefined) positions.set(name, at)
    if (feed?.covers(target) !== true) behind += target.txid - (at === undefined ? 0n : at.txid)
  }
  const { nodeId = '', hostname = '', url = '' } = stream.hello ?? {}
  return {
    nodeId,
    hostname,
    url,
    connectedAtMs: stream.connectedAtMs,
    positions,
    leaving: stream.leaving,
    candidate: stream.hello?.candidate !== false,
    behind: Number(behind),
    unconsumedBytes: stream.unconsumedBytes,
  }
}
