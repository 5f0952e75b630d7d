import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { LogFields } from '../capture/events.ts'
import { PlainFiles } from './plain-files.ts'

const lines: LogFields[] = []
let plainFiles: PlainFiles
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
  lines.length = 0
  plainFiles = new PlainFiles((_, fields) => lines.push(fields))
})
afterEach(() => void vi.useRealTimers())

test('plain files are one line a minute, with a count and three examples', () => {
  for (let i = 0; i < 300; i++) plainFiles.add(`object-${i}.o`)
  vi.advanceTimersByTime(1_000)
  expect(lines).toEqual([{ count: 300, files: 'object-0.o, object-1.o, object-2.o' }])
  for (let i = 0; i < 50; i++) {
    plainFiles.add(`later-${i}.o`)
    vi.advanceTimersByTime(1_000)
  }
  expect(lines).toHaveLength(1)
  vi.advanceTimersByTime(20_000)
  expect(lines.slice(1)).toEqual([{ count: 50, files: 'later-0.o, later-1.o, later-2.o' }])
})

test('a plain file that is written again and again is named once', () => {
  for (let i = 0; i < 300; i++) {
    plainFiles.add('app.log')
    vi.advanceTimersByTime(1_000)
  }
  expect(lines).toEqual([{ count: 1, files: 'app.log' }])
})

test('what has not been logged is logged at the end', () => {
  plainFiles.add('notes')
  plainFiles.flush()
  vi.advanceTimersByTime(120_000)
  expect(lines).toEqual([{ count: 1, files: 'notes' }])
})
