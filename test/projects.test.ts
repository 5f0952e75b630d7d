import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { assertTable, placeOf, problemsOf } from './projects.ts'

const ROOT = join(import.meta.dirname, '..')

describe('the table of projects', () => {
  test('names each test file below test/ once', () => {
    expect(() => assertTable(ROOT)).not.toThrow()
  })

  test('names a file that it does not list, and where to add it', () => {
    const [problem, ...others] = problemsOf(['test/new/new.test.ts'], [])
    expect(problem).toMatch(/^test\/new\/new\.test\.ts is in no project: add it to "cpu", "wait" or "alone"/)
    expect(others).toEqual([])
  })

  test('names a file that it lists twice, and one that does not exist', () => {
    const table = [
      { file: 'test/a.test.ts', name: 'cpu' },
      { file: 'test/a.test.ts', name: 'wait' },
      { file: 'test/gone.test.ts', name: 'wait' },
    ]
    expect(problemsOf(['test/a.test.ts'], table)).toEqual([
      'test/gone.test.ts is listed under "wait" and does not exist: remove the line',
      'test/a.test.ts is listed 2 times, under "cpu" and "wait": remove all but one',
    ])
  })

  test('is the order in which files start', () => {
    const places = ['src/any.test.ts', 'test/projects.test.ts', 'test/cluster/services.test.ts'].map((file) =>
      placeOf(ROOT, join(ROOT, file)),
    )
    expect(places).toEqual([...places].sort((a, b) => a - b))
    expect(new Set(places).size).toBe(3)
  })
})
