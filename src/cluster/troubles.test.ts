import { expect, test } from 'vitest'
import { createLogger } from '../util/log.ts'
import { REPEAT_MS, Troubles } from './troubles.ts'

let nowMs = 0
let lines: string[] = []

function troubles(): Troubles {
  nowMs = 0
  lines = []
  const write = (line: string) => lines.push(line)
  return new Troubles(createLogger({ level: 'info', format: 'text', write }), () => nowMs)
}

test('a failure is logged once for each reason, ignoring numbers, and again after a while', () => {
  const it = troubles()
  for (nowMs = 0; nowMs < REPEAT_MS; nowMs += REPEAT_MS / 10) {
    const code = nowMs === 0 ? 'ECONNRESET' : 'ECONNREFUSED'
    it.began('lead', `the bucket cannot be reached (${code}) in term ${nowMs}`)
    it.began('lead', 'the credentials are wrong')
  }
  expect(lines).toHaveLength(2)
  expect(it.last).toBe('the credentials are wrong')
  it.began('lead', 'the bucket cannot be reached (ECONNREFUSED) in term 99')
  expect(lines).toHaveLength(3)
})

test('the end of a failure is logged once, and the next failure is new', () => {
  const it = troubles()
  it.over('lead')
  it.began('lead', 'the bucket does not answer')
  it.over('lead')
  it.over('lead')
  expect([it.last, it.has('lead')]).toEqual([undefined, false])
  it.began('lead', 'the bucket does not answer')
  expect(lines).toHaveLength(3)
})

test('ever new reasons do not fill the log', () => {
  const it = troubles()
  for (let i = 0; i < 1_000; i++) it.began('read', 'x'.repeat(i))
  expect(lines.length).toBeLessThan(20)
})
