import { describe, expect, it } from 'vitest'
import { toTXID } from '../../ltx/format/types.ts'
import type { ObjectInfo } from '../../objectstore/objectstore.ts'
import { BackupEndMissingError, BackupGapError } from './errors.ts'
import type { BackupHistory } from './history.ts'
import { isReplaced, newestProblem, restorableSinceMs, timePrecisionMs } from './measure.ts'

/** Files as [level, first, last]: each is of the time of its last transaction, in seconds. */
function history(...files: readonly (readonly [level: number, min: number, max: number])[]): BackupHistory {
  return {
    database: 'app.db',
    files: files.map(([level, min, max]) => ({
      ...{ level, min: toTXID(min), max: toTXID(max), key: `${level}/${min}-${max}` },
      ...{ sizeBytes: 1000, timestampMs: max * 1000 },
    })),
    markers: [],
  }
}

function dropped(at: number, of: BackupHistory): BackupHistory {
  return { ...of, markers: [{ kind: 'dropped', txid: toTXID(at), key: 'marker', timestampMs: at * 1000 }] }
}

describe('what a listing says of the newest state', () => {
  const whole = history([0, 3, 3], [0, 4, 4], [1, 1, 4], [9, 1, 2])

  it.each([
    ['it can be restored', whole, 4, undefined],
    ['nothing was shipped', history(), 0, undefined],
    ['it was shipped after the listing began', whole, 3, undefined],
    ['a file is missing', history([0, 1, 1], [0, 3, 3]), 3, BackupGapError],
    ['the last file is missing', whole, 5, BackupEndMissingError],
    ['every file is missing', history(), 4, BackupEndMissingError],
    ['the database was dropped', dropped(5, whole), 0, undefined],
    ['it was created again, and only its drop is left', dropped(5, history()), 6, BackupEndMissingError],
    ['it was created again, and its files are missing', dropped(5, whole), 6, BackupEndMissingError],
  ] as const)('%s', (_, listed, shipped, expected) => {
    const problem = newestProblem(listed, toTXID(shipped))
    if (expected === undefined) expect(problem).toBeUndefined()
    else expect(problem).toBeInstanceOf(expected)
  })
})

it.each([
  ['the first transaction', history([0, 1, 1], [0, 2, 2]), 1000],
  ['the first snapshot, where nothing older is left', history([9, 1, 7], [0, 8, 8]), 7000],
  ['the first that joins, and not a file behind a gap', history([1, 4, 6], [9, 1, 7], [1, 8, 9]), 7000],
  ['nothing', history([1, 4, 6]), undefined],
])('the oldest state that can be restored is %s', (_, listed, expected) => {
  expect(restorableSinceMs(listed)).toBe(expected)
})

it.each([
  [1, [1e12, 1e12 + 1234]],
  [10, [1e12, 1e12 + 1230]],
  [1000, [1e12, 1e12 + 1000]],
  [2000, [1e12, 1e12 + 4000]],
])('a disk that keeps times to %i ms does not make other objects of all', (precisionMs, times) => {
  const listed = times.map((lastModifiedMs) => ({ key: 'k', sizeBytes: 5000, lastModifiedMs, storedMs: 2e12 }))
  expect(timePrecisionMs(listed)).toBe(precisionMs)
  const [was] = listed
  const rounded = (ms: number) => ({ ...was!, lastModifiedMs: ms - (ms % precisionMs) })
  for (const ms of [1e12, 1e12 + 999, 1e12 + 1001, 1e12 + 1999]) {
    expect(isReplaced('directory', { ...was!, lastModifiedMs: ms }, rounded(ms), precisionMs)).toBe(false)
  }
  const apart = { ...was!, lastModifiedMs: 1e12 + Math.max(2, precisionMs) }
  expect(isReplaced('directory', was, apart, precisionMs)).toBe(true)
})

describe('an object is another one than it was', () => {
  const was: ObjectInfo = { key: 'k', sizeBytes: 5000, lastModifiedMs: 1e12, storedMs: 2e12, etag: 'a' }
  const { etag: _, ...untagged } = was

  it.each([
    ['nothing has changed', 's3', was, was, false],
    ['it is new', 's3', undefined, was, false],
    ['it is too short for an LTX file', 's3', undefined, { ...was, sizeBytes: 99 }, true],
    ['its size is another one', 's3', was, { ...was, sizeBytes: 4999 }, true],
    ['its ETag is another one', 's3', was, { ...was, etag: 'b' }, true],
    ['it was copied, and is the same', 's3', was, { ...was, storedMs: 3e12 }, false],
    ['it was put, and then listed', 's3', untagged, { ...was, storedMs: 2e12 + 1000 }, false],
    ['it was put, and is listed as stored much later', 's3', untagged, { ...was, storedMs: 2e12 + 200_000 }, true],
    ['a file has another time', 'directory', untagged, { ...untagged, lastModifiedMs: 1e12 + 5 }, true],
    ['a file is 1 s younger', 'directory', untagged, { ...untagged, lastModifiedMs: 1e12 + 1000 }, true],
    ['a file was copied with its time', 'directory', untagged, { ...untagged, storedMs: 3e12 }, false],
    ['a file has its time through a double', 'directory', untagged, { ...untagged, lastModifiedMs: 1e12 + 0.4 }, false],
  ] as const)('%s', (_, layout, before, is, expected) => {
    expect(isReplaced(layout, before, is)).toBe(expected)
  })
})
