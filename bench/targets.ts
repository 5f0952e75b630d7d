import { isFigure, type Line, shareOfNative } from './harness/figures.ts'
import { PEERS } from './peers.ts'

/** A goal for one line of the table. */
export interface Target {
  readonly text: string
  readonly reached: (line: Line) => boolean
}

export const TARGETS: Readonly<Record<string, Target>> = {
  'write-wal-normal': all(timesPeer(8), p99AtMost(1_000)),
  'write-wal-full': ofNative(0.75),
  'write-delete-full': ofNative(0.7),
  'write-truncate-full': ofNative(1),
  'write-persist-full': ofNative(1),
  'read-wal': ofNative(0.9),
  'read-delete': ofNative(0.85),
  'read-persist': ofNative(0.5),
  'read-beside-writer': ofNative(0.8),
  'bulk-insert': ofNative(0.4),
  'fifty-databases': ofNative(0.5),
  'commit-by-size': flatWithin(0.2),
  'commit-by-count': flatWithin(0.2),
  memory: atMost(150),
  'replica-lag-paced': all(p50AtMost(1_500), p99AtMost(6_000)),
  'replica-lag-full-speed': all(atLeast(4_000), p50AtMost(4_000), p99AtMost(15_000)),
  'replica-read': ofNative(0.9),
  'replica-beside-begin': ofNative(0.5),
  'new-replica-stream': atLeast(952 / 4),
  'new-replica-backup': atLeast(952 / 4),
  'failover-100': atMost(2_000),
  'failover-1000': atMost(2_000),
}

function ofNative(share: number): Target {
  return { text: `≥ ${share} × native`, reached: (line) => (shareOfNative(line) ?? 0) >= share }
}

/** Relative to the peer's share of native, so that the speed of the machine does not matter. */
function timesPeer(factor: number): Target {
  return {
    text: `≥ ${factor} × peer`,
    reached(line) {
      const peer = PEERS[line.id]
      if (peer?.nativeValue === undefined) return false
      return (shareOfNative(line) ?? 0) >= (factor * peer.value) / peer.nativeValue
    },
  }
}

function atLeast(value: number): Target {
  return {
    text: `≥ ${Math.round(value)}`,
    reached: ({ ltxd }) => isFigure(ltxd) && ltxd.value >= value,
  }
}

function atMost(value: number): Target {
  return { text: `≤ ${value}`, reached: ({ ltxd }) => isFigure(ltxd) && ltxd.value <= value }
}

/** Compares medians. A mean includes the disk's long fsyncs, of which one side may have had more. */
function flatWithin(share: number): Target {
  return {
    text: `p50 + ${share * 100} % at most`,
    reached({ ltxd, without }) {
      if (without === undefined || !isFigure(without) || !isFigure(ltxd)) return false
      return ltxd.p50Us !== undefined && without.p50Us !== undefined && ltxd.p50Us <= (1 + share) * without.p50Us
    },
  }
}

function p50AtMost(limitUs: number): Target {
  return {
    text: `p50 ≤ ${limitUs / 1000} ms`,
    reached: ({ ltxd }) => isFigure(ltxd) && ltxd.p50Us !== undefined && ltxd.p50Us <= limitUs,
  }
}

function p99AtMost(limitUs: number): Target {
  return {
    text: `p99 ≤ ${limitUs / 1000} ms`,
    reached: ({ ltxd }) => isFigure(ltxd) && ltxd.p99Us !== undefined && ltxd.p99Us <= limitUs,
  }
}

function all(...targets: readonly Target[]): Target {
  return {
    text: targets.map((target) => target.text).join(', '),
    reached: (line) => targets.every((target) => target.reached(line)),
  }
}
