/**
 * The peers' figures, measured once with the same workloads on one machine, native and peer one after the other.
 * Absolute figures depend on the machine, shares of native less so. Therefore shares are compared.
 */

export interface PeerFigure {
  readonly peer: string
  /** As in Figure. */
  readonly value: number
  /** The native figure on the peer's machine; absent without a native equivalent. */
  readonly nativeValue?: number
  readonly p50Us?: number
  readonly p99Us?: number
}

export const PEER_MACHINE = '2-core virtual machine, Linux 6.18, ext4 on a virtual disk; LiteFS 0.5.14'

export const PEERS: Readonly<Record<string, PeerFigure>> = {
  'write-wal-normal': { peer: 'LiteFS', value: 650, nativeValue: 120_000, p50Us: 1_450 },
  'write-wal-full': { peer: 'LiteFS', value: 615, nativeValue: 6_600 },
  'write-delete-full': { peer: 'LiteFS', value: 205, nativeValue: 1_400 },
  'write-truncate-full': { peer: 'LiteFS', value: 205, nativeValue: 1_350 },
  'write-persist-full': { peer: 'LiteFS', value: 197, nativeValue: 1_250 },
  'read-wal': { peer: 'LiteFS', value: 5_900, nativeValue: 790_000 },
  'read-delete': { peer: 'LiteFS', value: 1_950, nativeValue: 395_000 },
  'read-persist': { peer: 'LiteFS', value: 910, nativeValue: 180_000 },
  'read-beside-writer': { peer: 'LiteFS', value: 2_700, nativeValue: 350_000 },
  'bulk-insert': { peer: 'LiteFS', value: 37_000, nativeValue: 500_000 },
  'replica-lag-paced': { peer: 'LiteFS', value: 200, p50Us: 4_200, p99Us: 16_000 },
  'replica-lag-full-speed': { peer: 'LiteFS', value: 415, p50Us: 6_500, p99Us: 40_000 },
  'replica-read': { peer: 'LiteFS', value: 4_100, nativeValue: 790_000 },
  memory: { peer: 'LiteFS', value: 28 },
  'new-replica-stream': { peer: 'LiteFS', value: 952 / 11.4 },
}
