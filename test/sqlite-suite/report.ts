import { wrap } from '../../infra/docs/markdown.ts'
import { FAMILIES } from './families.ts'
import { familyOf, LEFT_OUT } from './scripts.ts'
import type { Outcome } from './suite.ts'
import type { Verdict } from './verdict.ts'

export interface Judged {
  readonly outcome: Outcome
  readonly verdict: Verdict
}

export interface Conditions {
  readonly sqlite: string
  readonly driver: string
  readonly latency: string
  /** The names of all scripts of a whole run, some of which may have no result yet. */
  readonly scripts: readonly string[]
}

/** The lines that say what is wrong with a run; none if it is as expected. */
export function problems(judged: readonly Judged[]): string[] {
  return judged.flatMap(({ outcome: { script }, verdict: { unexpected, stale } }) => [
    ...unexpected.map(
      ({ check, plain, mount }) => `${script}: ${check}\n    plain: ${oneLine(plain)}\n    mount: ${oneLine(mount)}`,
    ),
    ...stale.map((pattern) => `${script}: "${pattern}" is expected to differ, and does not: remove it from the list`),
  ])
}

/** What a run says without being wrong. */
export function notes(judged: readonly Judged[]): string[] {
  return judged.flatMap(({ outcome: { script }, verdict: { unseen } }) =>
    unseen.map(
      (pattern) => `${script}: "${pattern}" depends on timing, and did not differ: if it never does, remove it`,
    ),
  )
}

export function summary(judged: readonly Judged[], { sqlite, driver, latency }: Conditions): string {
  const checks = sum(judged, ({ outcome }) => outcome.checks)
  const differing = judged.filter(({ outcome }) => outcome.differences.length > 0)
  const differences = sum(differing, ({ outcome }) => outcome.differences.length)
  return (
    `SQLite ${sqlite}, driver ${driver}, latency ${latency}: ${count(checks, 'check')} in ${count(judged.length, 'file')}, ` +
    `${count(differences, 'difference')} in ${count(differing.length, 'file')}.`
  )
}

/** docs/sqlite-suite.md. */
export function page(judged: readonly Judged[], conditions: Conditions): string {
  const differing = judged.filter(({ outcome }) => outcome.differences.length > 0)
  const same = judged.filter(({ outcome }) => outcome.differences.length === 0)
  return `# SQLite's own tests

\`npm run sqlite-suite\` wrote this page. It builds SQLite's test programs from Debian's source package, and runs SQLite's
test scripts for what reaches a file system on a plain directory and on the mount, with \`mptest\` (several processes) and
\`threadtest3\` (several threads). It compares each check by name and result. After a few scripts it kills the node and
starts it on what is left: every database must be there, as its log tells.

A difference has a reason that [Limits](limits.md#sqlite) documents.

${wrap(summary(judged, conditions) + missing(judged, conditions.scripts))}

The scripts keep SQLite's lock bytes at their usual place. SQLite's own run moves them, which hides the locks of two
programs from each other.

## Which scripts run

| what they test | files |
|---|--:|
${FAMILIES.map((family) => `| ${family.what} | ${conditions.scripts.filter((name) => familyOf(name) === family).length} |`).join('\n')}

All other scripts of SQLite test what SQL means (parser, expressions, queries, full-text search, JSON, sessions) or its
memory. They reach files only through the operations that these test.

Some take long, or hang on a plain directory, too. They run only when they are named, or with \`--all\`:

${Object.entries(LEFT_OUT)
  .map(([name, why]) => `* ${name}: ${why}`)
  .join('\n')}

## What is not the same

| file | checks | not the same | reason |
|---|--:|--:|---|
${differing.flatMap(rows).join('\n')}

## What is the same

${wrap(same.map(({ outcome }) => `${outcome.script} ${outcome.checks}`).join(', '))}
`
}

function missing(judged: readonly Judged[], scripts: readonly string[]): string {
  const ran = new Set(judged.map(({ outcome }) => outcome.script))
  const left = scripts.filter((name) => !ran.has(name))
  return left.length === 0 ? '' : ` Not run: ${left.join(', ')}.`
}

/** A row for each reason. */
function rows({ outcome, verdict }: Judged): string[] {
  const byReason = new Map<string, number>()
  for (const { reason } of verdict.expected) byReason.set(reason, (byReason.get(reason) ?? 0) + 1)
  if (verdict.unexpected.length > 0) byReason.set('not explained', verdict.unexpected.length)
  const { script, checks } = outcome
  return [...byReason].map(([reason, n]) => `| ${script} | ${checks} | ${n} | ${reason} |`)
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

function count(n: number, noun: string): string {
  return `${n.toLocaleString('en-US')} ${noun}${n === 1 ? '' : 's'}`
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
