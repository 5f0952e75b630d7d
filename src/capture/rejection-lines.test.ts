import { expect, test } from 'vitest'
import type { LogFields } from './events.ts'
import { RejectionLines } from './rejection-lines.ts'

function lines() {
  const logged: { message: string; fields: LogFields }[] = []
  const clock = { ms: 0 }
  const rejections = new RejectionLines(
    (_, message, fields) => logged.push({ message, fields }),
    () => clock.ms,
  )
  const reject = (process: string, database = 'a.db') =>
    rejections.log('warn', 'a write was rejected', { database, process, errno: 'EROFS' })
  return { logged, clock, rejections, reject }
}

test('a process that tries again and again is named once a minute for each database, and the rest is counted', () => {
  const { logged, clock, reject } = lines()
  for (let i = 0; i < 1000; i++) {
    reject('app (1)')
    reject('app (1)', 'b.db')
    reject('app (2)')
  }
  expect(logged).toHaveLength(3)
  clock.ms = 61_000
  reject('app (1)')
  expect(logged.slice(3)).toEqual([
    { message: 'rejections were repeated, and logged only once each', fields: { lines: 2997 } },
    { message: 'a write was rejected', fields: { database: 'a.db', process: 'app (1)', errno: 'EROFS' } },
  ])
})

test('ever new processes do not fill the log either', () => {
  const { logged, reject } = lines()
  for (let pid = 0; pid < 10_000; pid++) reject(`app (${pid})`, `${pid}.db`)
  expect(logged).toHaveLength(100)
})

test('what is no rejection is always logged', () => {
  const { logged, rejections } = lines()
  for (let i = 0; i < 200; i++) rejections.log('error', 'an alarm', { database: 'a.db' })
  expect(logged).toHaveLength(200)
})
