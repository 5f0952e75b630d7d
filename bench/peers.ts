/**
 * The peers' figures, measured once with the same workloads on one machine, native and peer one after the other.
 * An absolute figure moves from machine to machine, the share of native less so: that is what is compared.
 */

export interface PeerFigure {
  readonly peer: string
  readonly perSecond: number
  /** Native on the machine where the peer was measured; absent where there is nothing native to compare with. */
  readonly nativePerSecond?: number
  readonly p50Us?: number
  readonly p99Us?: number
}

export const PEER_MACHINE = '2-core virtual machine, Linux 6.18, ext4 on a virtual disk; LiteFS 0.5.14'

export const PEERS: Readonly<Record<string, PeerFigure>> = {
  'write-wal-normal': { peer: 'LiteFS', perSecond: 650, nativePerSecond: 120_000, p50Us: 1_450 },
  'write-wal-full': { peer: 'LiteFS', perSecond: 615, nativePerSecond: 6_600 },
  'write-delete-full': { peer: 'LiteFS', perSecond: 205, nativePerSecond: 1_400 },
  'write-truncate-full': { peer: 'LiteFS', perSecond: 205, nativePerSecond: 1_350 },
  'write-persist-full': { peer: 'LiteFS', perSecond: 197, nativePerSecond: 1_250 },
  'read-wal': { peer: 'LiteFS', perSecond: 5_900, nativePerSecond: 790_000 },
  'read-delete': { peer: 'LiteFS', perSecond: 1_950, nativePerSecond: 395_000 },
  'read-persist': { peer: 'LiteFS', perSecond: 910, nativePerSecond: 180_000 },
  'read-beside-writer': { peer: 'LiteFS', perSecond: 2_700, nativePerSecond: 350_000 },
  'bulk-insert': { peer: 'LiteFS', perSecond: 37_000, nativePerSecond: 500_000 },
  'replica-lag-paced': { peer: 'LiteFS', perSecond: 200, p50Us: 4_200, p99Us: 16_000 },
  'replica-lag-full-speed': { peer: 'LiteFS', perSecond: 415, p50Us: 6_500, p99Us: 40_000 },
  'replica-read': { peer: 'LiteFS', perSecond: 4_100, nativePerSecond: 790_000 },
  'new-replica-stream': { peer: 'LiteFS', perSecond: 952 / 11.4 },
}
