/** What a test program printed, as results of checks by name. */

export interface Results {
  /** The results of each check, in the order of its occurrences: loops repeat names. */
  readonly checks: ReadonlyMap<string, readonly CheckResult[]>
  /** The number of results. */
  readonly count: number
  /** The program came to its own end: it printed its summary. */
  readonly finished: boolean
  /** The check that was under way when it did not finish, or else its last one. */
  readonly last: string
  /** The beginning of what was printed after the last result. */
  readonly after: string
}

export interface CheckResult {
  readonly ok: boolean
  /** What the check expected and got, if it failed. */
  readonly detail?: string
}

/** A check begins with its name and three dots, and SQLite's checks end the line with "Ok". */
const CHECK = /^([^\s!].*?)\.\.\.(.*)$/
const FAILED = /^! (.*) expected: \[(.*)$/
const GOT = /^! .* got: {6}\[(.*)$/
const SUMMARY = /^\d+ errors out of \d+ tests/
const LINES_AFTER = 3

/**
 * Reads the output of testfixture. A failed check is followed by `! NAME expected: [` and `! NAME got: [`, whose values
 * may take several lines, or by `Error: `. What a check itself prints may stand between its name and its result.
 */
export function parseTestfixture(output: string): Results {
  const reader = new Reader()
  for (const line of output.split('\n')) reader.line(line)
  return reader.results()
}

class Reader {
  readonly #checks = new Map<string, CheckResult[]>()
  #count = 0
  #finished = false
  #last = '(start)'
  /** A check without a result so far. */
  #pending: string | undefined
  #expected = ''
  #after: string[] = []

  line(line: string): void {
    if (this.#after.length < LINES_AFTER) this.#after.push(line)
    if (SUMMARY.test(line)) {
      this.#finished = true
      return
    }
    const [, expected] = FAILED.exec(line)?.slice(1) ?? []
    if (expected !== undefined) this.#expected = expected
    else if (GOT.test(line)) this.#fail(`expected [${this.#expected}, got [${GOT.exec(line)?.[1] ?? ''}`)
    else if (line.startsWith('Error: ')) this.#fail(line)
    else this.#checkOrText(line)
  }

  results(): Results {
    return {
      checks: this.#checks,
      count: this.#count,
      finished: this.#finished,
      last: this.#pending ?? this.#last,
      after: this.#after.join(' ').trim(),
    }
  }

  #checkOrText(line: string): void {
    // Threads print dots while they run.
    const [, name, rest] = CHECK.exec(line.replace(/^\.+/, '')) ?? []
    const ended = / (?:Ok|Omitted)$/.test(rest ?? '')
    const begins = rest === '' || ended || (this.#pending === undefined && !name?.includes(' '))
    if (name !== undefined && begins) {
      this.#pending = name
      if (ended) this.#add({ ok: true })
    } else if (line.endsWith(' Ok')) this.#add({ ok: true })
  }

  #fail(detail: string): void {
    this.#add({ ok: false, detail: shortened(detail) })
  }

  #add(result: CheckResult): void {
    const name = this.#pending
    if (name === undefined) return
    this.#pending = undefined
    this.#last = name
    this.#after = []
    this.#count++
    const results = this.#checks.get(name)
    if (results === undefined) this.#checks.set(name, [result])
    else results.push(result)
  }
}

/**
 * Reads the output of mptester or threadtest3, which count their errors and do not name checks: one check, which is
 * that there are none.
 */
export function parseErrorCount(output: string): Results {
  const after = lastLines(output)
  const [, errors] = /^.*?(\d+) errors?\b.*$/m.exec(after) ?? []
  if (errors === undefined) return { checks: new Map(), count: 0, finished: false, last: '(start)', after }
  const result = errors === '0' ? { ok: true } : { ok: false, detail: shortened(after) }
  return { checks: new Map([['no errors', [result]]]), count: 1, finished: true, last: 'no errors', after }
}

function lastLines(output: string): string {
  return output.trimEnd().split('\n').slice(-3).join('\n')
}

const MAX_DETAIL = 300

function shortened(text: string): string {
  return text.length <= MAX_DETAIL ? text : `${text.slice(0, MAX_DETAIL)}…`
}
