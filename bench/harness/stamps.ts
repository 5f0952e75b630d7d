import type Database from 'better-sqlite3'
import { percentile } from './percentiles.ts'
import type { Sample, Workload } from './workload.ts'

/**
 * What is needed to time a row from its commit on one node to its sight on another: both processes run on one machine,
 * and so read one monotonic clock. A stamp is taken right before its transaction begins, so the commit itself is in the
 * figure.
 */

/** To wait on, without turning. */
const never = new Int32Array(new SharedArrayBuffer(4))
/**
 * Between two looks of the watcher. What it adds to a figure: half of it on average, all of it at most, and what the
 * kernel's timers are late by. A watcher without a pause would see a row sooner, but keep a core from the nodes that
 * bring it.
 */
const LOOK_EVERY_MS = 0.1
const BEGIN_EVERY_MS = 0.2
/** Of each measurement: by then both processes have begun. */
const UNCOUNTED_SHARE = 0.05

export function stamp(
  connection: Database.Database,
  { count, perSecond }: Extract<Workload, { kind: 'stamp' }>,
): Sample {
  const insert = connection.prepare('INSERT INTO stamp (at) VALUES (?)')
  const start = performance.now()
  for (let i = 0; i < count; i++) {
    if (perSecond !== undefined) sleepUntil(start + (i * 1000) / perSecond)
    insert.run(process.hrtime.bigint())
  }
  return { operations: count, seconds: (performance.now() - start) / 1000 }
}

/** Where the last watch ended. */
let seen = 0

/**
 * Looks until `count` more rows have come, and says how old each was when it was seen. `data_version` changes when
 * another connection has committed: it costs far less than a query that finds nothing. Throws when rows do not come one
 * after the other.
 */
export function watch(connection: Database.Database, count: number, seconds: number): Sample {
  const version = connection.prepare<[], number>('PRAGMA data_version').pluck()
  const news = connection.prepare<[number], [bigint, bigint]>('SELECT id, at FROM stamp WHERE id > ? ORDER BY id')
  news.raw().safeIntegers()
  const deadline = performance.now() + seconds * 1000
  const first = seen
  const firstCounted = first + Math.ceil(count * UNCOUNTED_SHARE)
  const lagsUs: number[] = []
  let begun = 0n
  let known: number | undefined
  for (;;) {
    const found = version.get()
    if (found !== known) {
      known = found
      const rows = news.all(seen)
      const now = process.hrtime.bigint()
      for (const [id, at] of rows) {
        if (Number(id) !== ++seen) throw new Error(`row ${id} came where row ${seen} was to come`)
        if (seen <= firstCounted) continue
        if (begun === 0n) begun = at
        lagsUs.push(Number(now - at) / 1000)
      }
      if (seen >= first + count) return summary(lagsUs, Number(now - begun) / 1e9)
    }
    if (performance.now() > deadline)
      throw new Error(`of ${count} transactions ${seen - first} were seen in ${seconds} s`)
    Atomics.wait(never, 0, 0, LOOK_EVERY_MS)
  }
}

/** On a replica: every attempt must be refused, at once. */
export function begin(connection: Database.Database, seconds: number): Sample {
  connection.pragma('busy_timeout = 0')
  const immediate = connection.prepare('BEGIN IMMEDIATE')
  const start = performance.now()
  let operations = 0
  for (; performance.now() < start + seconds * 1000; operations++) {
    try {
      immediate.run()
    } catch {
      Atomics.wait(never, 0, 0, BEGIN_EVERY_MS)
      continue
    }
    throw new Error('a replica let an application begin to write')
  }
  return { operations, seconds: (performance.now() - start) / 1000 }
}

function summary(lagsUs: number[], seconds: number): Sample {
  const sorted = lagsUs.sort((a, b) => a - b)
  return { operations: sorted.length, seconds, p50Us: percentile(sorted, 0.5), p99Us: percentile(sorted, 0.99) }
}

function sleepUntil(timeMs: number): void {
  const leftMs = timeMs - performance.now()
  if (leftMs > 0) Atomics.wait(never, 0, 0, leftMs)
}
