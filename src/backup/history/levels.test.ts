import { describe, expect, it } from 'vitest'
import { boundaryAt, nextBoundary } from './levels.ts'

describe('compaction boundaries', () => {
  it('are the clock truncated to the interval', () => {
    const now = Date.UTC(2026, 6, 20, 17, 18, 47, 123)
    expect(boundaryAt(now, 30_000)).toBe(Date.UTC(2026, 6, 20, 17, 18, 30))
    expect(nextBoundary(now, 30_000)).toBe(Date.UTC(2026, 6, 20, 17, 19))
    expect(boundaryAt(now, 3_600_000)).toBe(Date.UTC(2026, 6, 20, 17))
    expect(boundaryAt(now, 86_400_000)).toBe(Date.UTC(2026, 6, 20))
  })

  it('are the same as Go’s where the interval does not divide a day', () => {
    // time.Date(2026, 7, 20, 17, 18, 47, 0, time.UTC).Truncate(7 * time.Hour) in Go 1.26
    expect(boundaryAt(Date.UTC(2026, 6, 20, 17, 18, 47), 7 * 3_600_000)).toBe(Date.UTC(2026, 6, 20, 14))
  })

  it('are their own boundary, and precede the next one', () => {
    expect(boundaryAt(60_000, 30_000)).toBe(60_000)
    expect(nextBoundary(60_000, 30_000)).toBe(90_000)
  })
})
