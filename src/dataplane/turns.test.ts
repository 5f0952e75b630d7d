import fs from 'node:fs'
import { beforeEach, expect, test } from 'vitest'
import type { FromDataPlane } from './messages.ts'
import { SharedState } from './shared-state.ts'
import { Slots } from './slots.ts'
import { LATER_MS, Turns } from './turns.ts'

let now = 0
let said: FromDataPlane[] = []
let done: string[] = []
let turns: Turns
beforeEach(() => {
  now = 0
  said = []
  done = []
  const state = new SharedState()
  const say = (message: FromDataPlane) => void said.push(message)
  turns = new Turns(state, new Slots(state, say), { log: () => {} }, say, () => now)
})

const later = (what: string) => turns.later(() => void done.push(what))

function turnAt(ms: number): string[] {
  now = ms
  turns.take()
  return done.splice(0)
}

test('what is to be done later has its whole time, also if something else waits already', () => {
  later('early')
  now = LATER_MS - 10
  later('late')
  expect(said).toEqual([{ type: 'later', inMs: LATER_MS }])
  expect(turnAt(LATER_MS)).toEqual(['early'])
  expect(said.at(-1)).toEqual({ type: 'later', inMs: LATER_MS - 10 })
  expect(turnAt(2 * LATER_MS - 10)).toEqual(['late'])
  expect(said).toHaveLength(2)
})

test('a turn that comes for another reason does nothing early, and loses nothing', () => {
  later('a')
  expect(turnAt(100)).toEqual([])
  expect(said.at(-1)).toEqual({ type: 'later', inMs: LATER_MS - 100 })
  expect(turnAt(LATER_MS)).toEqual(['a'])
})

test('what asks for another turn while it is done gets one', () => {
  turns.later(() => later('again'))
  expect(turnAt(LATER_MS)).toEqual([])
  expect(said).toHaveLength(2)
  expect(turnAt(2 * LATER_MS)).toEqual(['again'])
})

test('what waits is done although something before it fails with an errno', () => {
  turns.later(() => void fs.readFileSync('/nowhere/at-all'))
  later('b')
  expect(turnAt(LATER_MS)).toEqual(['b'])
})
