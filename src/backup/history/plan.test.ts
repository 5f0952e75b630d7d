import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toTXID, type TXID } from '../../ltx/format/types.ts'
import { BackupGapError, DatabaseDroppedError, TargetUnavailableError } from './errors.ts'
import { type BackupFile, type BackupHistory, type BackupMarker, compareFiles } from './history.ts'
import { fileName } from './layout.ts'
import { NEWEST, planRestore, restorablePoints, restorableRange, type Target } from './plan.ts'

/** `L0 1-3 4`: files of level 0; a file's time is its last TXID in seconds. `dropped 5` and `reset 6` are markers. */
function history(...lines: string[]): BackupHistory {
  const files: BackupFile[] = []
  const markers: BackupMarker[] = []
  for (const line of lines) {
    const [head = '', ...rest] = line.split(' ')
    for (const item of rest) {
      const [min = 0, max = min] = item.split('-').map(Number)
      if (head === 'dropped' || head === 'reset') {
        markers.push({ kind: head, txid: toTXID(min), key: item, timestampMs: min * 1000 })
      } else {
        files.push(file(Number(head.slice(1)), min, max))
      }
    }
  }
  return { database: 'app.db', files: files.sort(compareFiles), markers }
}

function file(level: number, min: number, max: number): BackupFile {
  const key = `app.db/ltx/${level}/${fileName(toTXID(min), toTXID(max))}`
  return { level, min: toTXID(min), max: toTXID(max), key, sizeBytes: 1, timestampMs: max * 1000 }
}

const at = (txid: number): Target => ({ kind: 'txid', txid: toTXID(txid) })
const before = (seconds: number): Target => ({ kind: 'timestamp', timestampMs: seconds * 1000 })
const show = (files: readonly BackupFile[]) => files.map(({ level, min, max }) => `L${level} ${min}-${max}`).join(', ')
const plan = (from: BackupHistory, target: Target = NEWEST) => show(planRestore(from, target))

describe('a plan', () => {
  it('begins with the newest snapshot, then adds the file that reaches furthest', () => {
    const h = history('L9 1-5 1-10', 'L1 1-8 9-14', 'L0 9-10 11-12 13-13 14-14 15-15')
    expect(plan(h)).toBe('L9 1-10, L1 9-14, L0 15-15')
    expect(plan(h, at(13))).toBe('L9 1-10, L0 11-12, L0 13-13')
    expect(plan(h, at(8))).toBe('L9 1-5, L1 1-8')
    expect(plan(h, at(10))).toBe('L9 1-10')
  })

  it('prefers, among files with the same end, the one that begins first, then the higher level', () => {
    expect(plan(history('L0 1-1 2-3', 'L1 1-3'))).toBe('L1 1-3')
    expect(plan(history('L0 1-3', 'L2 1-3', 'L1 1-3'))).toBe('L2 1-3')
  })

  it('needs a chain from transaction 1 where there is no snapshot', () => {
    expect(plan(history('L0 1-1 2-2 3-3'))).toBe('L0 1-1, L0 2-2, L0 3-3')
    expect(() => plan(history('L0 2-2 3-3'))).toThrow(BackupGapError)
    expect(() => plan(history('L0 2-2 3-3'), at(3))).toThrow(TargetUnavailableError)
    expect(() => plan(history())).toThrow(TargetUnavailableError)
  })

  it('takes the files that are strictly older than a timestamp', () => {
    const h = history('L9 1-5', 'L0 6-6 7-7 8-8')
    expect(plan(h, before(7))).toBe('L9 1-5, L0 6-6')
    expect(plan(h, before(7.001))).toBe('L9 1-5, L0 6-6, L0 7-7')
    expect(() => plan(h, before(5))).toThrow(/begins later, at 1970-01-01T00:00:05/)
  })

  it('of the newest state fails at a gap, and says how far the files join', () => {
    const h = history('L9 1-5', 'L0 6-6 9-9')
    expect(() => plan(h)).toThrow(/join up to 0000000000000006, the next file begins at 0000000000000009/)
    expect(plan(h, at(6))).toBe('L9 1-5, L0 6-6')
    expect(plan(history('L9 1-5 1-12', 'L0 6-6 9-9 13-13'))).toBe('L9 1-12, L0 13-13')
  })

  it('of a transaction inside a file fails, and names the nearest file ends', () => {
    const h = history('L9 1-5', 'L1 6-9', 'L0 10-10')
    expect(() => plan(h, at(7))).toThrow(/next to it: 0000000000000005 and 0000000000000009/)
    expect(() => plan(h, at(99))).toThrow(/restorable are 0000000000000005 to 000000000000000a/)
  })

  it('of a dropped database fails, and names its last state', () => {
    const h = history('L9 1-5', 'L0 6-6', 'dropped 7')
    expect(() => plan(h)).toThrow(DatabaseDroppedError)
    expect(() => plan(h)).toThrow(
      /dropped in transaction 0000000000000007 at 1970-01-01T00:00:07.000Z; .*--txid 0000000000000006/,
    )
    expect(() => plan(h, at(7))).toThrow(DatabaseDroppedError)
    expect(() => plan(h, before(8))).toThrow(DatabaseDroppedError)
    expect(plan(h, before(7))).toBe('L9 1-5, L0 6-6')
    expect(plan(h, at(6))).toBe('L9 1-5, L0 6-6')
  })

  it('of a database created again uses its new files, or the old ones for an older target', () => {
    const h = history('L9 1-5 1-8', 'L0 6-6 8-8 9-9', 'dropped 7', 'reset 8')
    expect(plan(h)).toBe('L9 1-8, L0 9-9')
    expect(plan(h, at(6))).toBe('L9 1-5, L0 6-6')
    expect(() => plan(h, at(7))).toThrow(DatabaseDroppedError)
    expect(() => plan(h, before(8))).toThrow(DatabaseDroppedError)
    expect(plan(h, before(9))).toBe('L9 1-8')
  })

  it('never applies a file across a reset', () => {
    const h = history('L9 1-5', 'L0 6-6 7-7 8-8', 'reset 7')
    expect(() => plan(h)).toThrow(BackupGapError)
    expect(plan(history('L9 1-5 1-7', 'L0 6-6 7-7 8-8', 'reset 7'))).toBe('L9 1-7, L0 8-8')
  })

  it('reports the restorable range', () => {
    expect(restorableRange(history())).toBeUndefined()
    const h = history('L9 1-5', 'L1 6-9', 'L0 2-2 10-10 12-12')
    expect(restorableRange(h)).toEqual({ first: 5n, last: 10n })
    expect(restorablePoints(h)).toEqual([5n, 9n, 10n])
  })

  it('reaches a transaction if any chain from the same snapshot does, and only through files that join', () => {
    const span = fc
      .tuple(fc.integer({ min: 1, max: 14 }), fc.integer({ min: 0, max: 5 }))
      .map(([a, n]) => [a, a + n] as const)
    const anyFile = fc.tuple(fc.integer({ min: 0, max: 3 }), span).map(([level, [min, max]]) => file(level, min, max))
    const snapshot = fc.integer({ min: 1, max: 12 }).map((max) => file(9, 1, max))
    const files = fc
      .tuple(fc.array(anyFile, { maxLength: 14 }), fc.array(snapshot, { maxLength: 2 }))
      .map((f) => f.flat())
    fc.assert(
      fc.property(files, fc.integer({ min: 1, max: 18 }), (all, txid) => {
        const h = { database: 'app.db', files: all.sort(compareFiles), markers: [] }
        const reachable = reachableEnds(all, txid).has(toTXID(txid))
        if (!reachable) {
          expect(() => planRestore(h, at(txid))).toThrow(TargetUnavailableError)
          return
        }
        let current = 0n
        for (const next of planRestore(h, at(txid))) {
          expect(next.min <= current + 1n && next.max > current && next.max <= txid).toBe(true)
          current = next.max
        }
        expect(current).toBe(BigInt(txid))
      }),
      { numRuns: 500 },
    )
  })
})

/** Every TXID at which some chain of files up to `txid` ends, found exhaustively for comparison. */
function reachableEnds(files: readonly BackupFile[], txid: number): Set<TXID> {
  const candidates = files.filter((f) => f.max <= txid)
  const snapshots = candidates.filter((f) => f.level === 9).map((f) => f.max)
  const ends = new Set<TXID>([snapshots.length === 0 ? toTXID(0) : snapshots.reduce((a, b) => (a > b ? a : b))])
  for (let grown = true; grown;) {
    grown = false
    for (const f of candidates) {
      if (f.level === 9 || ends.has(f.max)) continue
      if ([...ends].some((end) => f.min <= end + 1n && f.max > end)) grown = ends.add(f.max) !== undefined
    }
  }
  return ends
}
