/** Random histories of a database, and the chains of LTX files that contain them. */
import { encode } from '../../src/ltx/file.ts'
import { NO_CHECKSUM } from '../../src/ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, toTXID } from '../../src/ltx/format/types.ts'
import { databaseChecksum, header, pageOf } from '../../src/ltx/testing.ts'
import type { Random } from '../harness/random.ts'

export type Pages = ReadonlyMap<number, Uint8Array>

export interface History {
  readonly pageSize: number
  readonly checksums: boolean
  /** The states of the database: before transaction 1, after it, after transaction 2 … */
  readonly states: readonly Pages[]
  /** The pages that each transaction wrote, from the first on. */
  readonly written: readonly Pages[]
}

/** The transactions `min` to `max` in one file. */
export interface Span {
  readonly min: number
  readonly max: number
}

const MOST_TRANSACTIONS = 12

export function randomHistory(random: Random): History {
  const pageSize = [512, 512, 512, 1024, 4096][random.integer(0, 4)]!
  const states: Pages[] = [new Map()]
  const written: Pages[] = []
  for (let txid = 1, last = random.integer(2, MOST_TRANSACTIONS); txid <= last; txid++) {
    const before = states.at(-1)
    const commit = nextCommit(random, before.size)
    const pages = new Map<number, Uint8Array>()
    for (let pgno = 1; pgno <= commit; pgno++) {
      // Every page by which the database grows is written.
      if (pgno > before.size || random.next() < 0.25) pages.set(pgno, pageOf(pageSize, random.integer(1, 2 ** 31)))
    }
    written.push(pages)
    const kept = [...before].filter(([pgno]) => pgno <= commit)
    states.push(new Map([...kept, ...pages]))
  }
  return { pageSize, checksums: random.next() < 0.7, states, written }
}

function nextCommit(random: Random, commit: number): number {
  const kind = random.integer(0, 9)
  if (commit === 0 || kind < 4) return commit + random.integer(1, 12)
  if (kind < 6) return random.integer(1, commit)
  return commit
}

/** Consecutive spans. Some begin before the one before has ended. */
export function randomSpans(random: Random, { written }: History): Span[] {
  const last = written.length
  const first = random.next() < 0.6 ? 1 : random.integer(1, last)
  const spans: Span[] = []
  for (let max = first - 1; max < last;) {
    const overlap = random.next() < 0.25 ? random.integer(0, max + 1 - first) : 0
    const span = { min: max + 1 - overlap, max: Math.min(last, max + random.integer(1, 3)) }
    spans.push(span)
    max = span.max
  }
  return spans
}

/** The file of a span: the newest version of each page that exists at its end. */
export function fileOf(history: History, { min, max }: Span): Uint8Array {
  const { pageSize, checksums, states, written } = history
  const after = states[max]!
  const pages = new Set<number>()
  for (let txid = min; txid <= max; txid++) for (const pgno of written[txid - 1]!.keys()) pages.add(pgno)
  const kept = [...pages].filter((pgno) => after.has(pgno)).sort((a, b) => a - b)
  return encode(
    header({
      flags: checksums ? 0 : NO_CHECKSUM,
      pageSize,
      commit: after.size,
      minTXID: toTXID(min),
      maxTXID: toTXID(max),
      timestampMs: 1_700_000_000_000 + max,
      preApplyChecksum: checksums && min > 1 ? checksumOf(states[min - 1]!) : 0n,
      walOffset: 32,
      walSize: 4096,
      walSalt1: min,
      nodeId: BigInt(max),
    }),
    kept.map((pgno) => [pgno, after.get(pgno)!] as const),
    checksums ? checksumOf(after) : 0n,
  )
}

export function imageOf(pages: Pages): Buffer {
  return Buffer.concat(Array.from({ length: pages.size }, (_, at) => pages.get(at + 1)!))
}

function checksumOf(pages: Pages): Checksum {
  return pages.size === 0 ? EMPTY_CHECKSUM : databaseChecksum(pages)
}
