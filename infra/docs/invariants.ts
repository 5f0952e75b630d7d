/** The table of docs/invariants.md: promises, their assertions, and the tests that try to break them. */

export interface Place {
  /** The path relative to the repository's root. */
  readonly file: string
  /** An identifier in the file, or the name of a test. */
  readonly name: string
}

export interface Invariant {
  readonly number: string
  readonly promise: string
  readonly asserted: readonly Place[]
  readonly tests: readonly Place[]
}

/** Throws where a row of the table has another form. */
export function invariantsOf(page: string): Invariant[] {
  const rows = page.split('\n').filter((line) => line.startsWith('|'))
  return rows.slice(2).map((row) => {
    const cells = row.slice(1, -1).split(' | ')
    const [number = '', promise = '', asserted = '', tests = ''] = cells.map((cell) => cell.trim())
    if (cells.length !== 4 || !/^I[0-9]+$/.test(number))
      throw new Error(`expected four cells, the first a number: ${row}`)
    return { number, promise, asserted: placesOf(asserted), tests: placesOf(tests) }
  })
}

function placesOf(cell: string): Place[] {
  return cell.split('<br>').map((item) => {
    const match = /^`([^`]+)`: `([^`]+)`$/.exec(item)
    if (match === null) throw new Error(`expected \`FILE\`: \`NAME\`, found ${item}`)
    const [, file = '', name = ''] = match
    return { file, name }
  })
}
