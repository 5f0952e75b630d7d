/** The table of docs/reading.md: questions about the code, and the file and name that answer each. */

interface Answer {
  readonly question: string
  /** The path relative to the repository's root. */
  readonly file: string
  /** A function, class or constant in the file. */
  readonly name: string
}

/** Throws where a row of the table has another form. */
export function answersOf(page: string): Answer[] {
  const rows = page.split('\n').filter((line) => line.startsWith('|'))
  return rows.slice(2).map((row) => {
    const match = /^\| (.+?) \| `([^`]+)`: `(\w+)` \| .+ \|$/.exec(row)
    if (match === null) throw new Error(`expected | question | \`FILE\`: \`NAME\` | sentence |, found ${row}`)
    const [, question = '', file = '', name = ''] = match
    return { question, file, name }
  })
}
