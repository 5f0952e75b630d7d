import type Database from 'better-sqlite3'
import { percentile } from './percentiles.ts'
import type { Sample, Workload } from './workload.ts'

/**
 * Times a row from its commit on one node until it is visible on another. Both processes run on one machine, so they
 * share a monotonic clock. A stamp is taken right before its transaction, so the figure includes the commit.
 */

/** For sleeps without the event loop. */
const never = new Int32Array(new SharedArrayBuffer(4))
/**
 * The pause between two polls of the watcher. It adds half of itself to a figure on average, all of it at most, plus
 * the lateness of the kernel's timers. Without a pause the watcher would take a core from the nodes.
 */
const LOOK_EVERY_MS = 0.1
const BEGIN_EVERY_MS = 0.2
/** The first part of each measurement, which does not count, because one process may not have begun. */
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

export function flood(connection: Database.Database, seconds: number): Sample {
  const insert = connection.prepare('INSERT INTO stamp (at) VALUES (?)')
  const start = performance.now()
  const end = start + seconds * 1000
  let operations = 0
  for (; performance.now() < end; operations++) insert.run(process.hrtime.bigint())
  return { operations, seconds: (performance.now() - start) / 1000 }
}

/** The last row of the last watch. */
let seen = 0

/**
 * Polls until `count` more rows have arrived, and returns their ages at that time. It polls `data_version`, which
 * changes with a commit of another connection and costs far less than an empty query. Throws if rows do not arrive in
 * order.
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
        if (Number(id) !== ++seen) throw new Error(`row ${id} arrived where row ${seen} was expected`)
        if (seen <= firstCounted) continue
        if (begun === 0n) begun = at
        lagsUs.push(Number(now - at) / 1000)
      }
      if (seen >= first + count) return summary(lagsUs, Number(now - begun) / 1e9)
    }
    if (performance.now() > deadline)
      throw new Error(`only ${seen - first} of ${count} transactions arrived in ${seconds} s`)
    Atomics.wait(never, 0, 0, LOOK_EVERY_MS)
  }
}

/** Asks for the write lock on a replica. Every attempt must fail at once. */
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
    throw new Error('an application got the write lock on a replica')
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
