/** What others name goes to a terminal: no command of the terminal's and no line of its own is in it. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LtxdError } from '../../util/errors.ts'
import { reportError } from '../program.ts'
import { printJson, printLine, printNote, printText } from './output.ts'
import { formatPlan, formatResult } from './recover-text.ts'

const EVIL = '\x1b[31mEVIL\n2026 error\x9b2J\u202e'
let printed = ''

beforeEach(() => {
  printed = ''
  const write = (text: string | Uint8Array) => (printed += String(text)) !== ''
  vi.spyOn(process.stdout, 'write').mockImplementation(write)
  vi.spyOn(process.stderr, 'write').mockImplementation(write)
})
afterEach(() => {
  vi.restoreAllMocks()
})

/** Nothing that a terminal obeys, and as many lines as expected. */
function expectHarmless(lines = 1): void {
  expect(printed).not.toMatch(/(?!\n)[\p{Cc}\p{Bidi_Control}]/u)
  expect(printed.trimEnd().split('\n')).toHaveLength(lines)
}

test.each([
  ['a line', () => printLine(EVIL), 1],
  ['a note', () => printNote(EVIL), 1],
  ['text', () => printText(`first\n${EVIL.replace('\n', '')}\n`), 2],
  ['JSON', () => printJson({ [EVIL]: EVIL }), 3],
])('%s is printed without what a terminal obeys', (_, print, lines) => {
  print()
  expectHarmless(lines)
})

test('JSON that is printed reads as what it was', () => {
  printJson({ [EVIL]: EVIL })
  expect(JSON.parse(printed)).toEqual({ [EVIL]: EVIL })
})

test('an error with a foreign name begins each line as an error does', () => {
  expect(reportError(new LtxdError('X', `cannot read ${EVIL}`), false)).toBe(1)
  expectHarmless(2)
  expect(printed.trimEnd().split('\n')).toSatisfy((lines: string[]) => lines.every((line) => line.startsWith('ltxd: ')))
})

test('a stack trace begins no line with a foreign name', () => {
  const error = new Error(EVIL)
  error.stack = `Error: ${EVIL}`
  reportError(error, true)
  expect(printed).not.toMatch(/(?!\n)[\p{Cc}\p{Bidi_Control}]/u)
})

test('the plan and the result of a recovery show a super-journal’s name in their own lines', () => {
  const planned = {
    name: EVIL,
    facts: undefined,
    plan: { kind: 'refuse', reason: `waits for ${EVIL}` },
    advice: `look at ${EVIL}`,
  } as unknown as Parameters<typeof formatPlan>[0]
  printed = formatPlan(planned)
  expectHarmless(3)
  const recovered = { ...planned, rejection: EVIL, position: undefined } as Parameters<typeof formatResult>[0]
  printed = formatResult(recovered)
  expectHarmless(1)
})

test('commands print through this module alone', () => {
  const dir = join(import.meta.dirname, '../commands')
  const direct = readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .filter((name) => /process\.std(out|err)\.write|console\./.test(readFileSync(join(dir, name), 'utf8')))
  expect(direct).toEqual([])
})
