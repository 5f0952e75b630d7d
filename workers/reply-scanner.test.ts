import { expect, test } from 'vitest'
import { SEED } from '../test/harness/effort.ts'
import { Random } from '../test/harness/random.ts'
import { ReplyScanner, UnreadableReplyError } from './reply-scanner.ts'

function randomValue(random: Random, depth = 0): Buffer {
  const kind = random.integer(0, depth < 4 ? 7 : 5)
  const text = Buffer.from(Array.from({ length: random.integer(0, 40) }, () => random.integer(0, 255)))
  if (kind === 0) return Buffer.from(`:${random.integer(-1e9, 1e9)}\r\n`)
  if (kind === 1) return Buffer.from(random.next() < 0.5 ? '$-1\r\n' : '*-1\r\n')
  if (kind === 2) return Buffer.from(`-ERR ${random.next()}\r\n`)
  if (kind === 3) return Buffer.from('+OK\r\n')
  if (kind < 6) return Buffer.concat([Buffer.from(`$${text.length}\r\n`), text, Buffer.from('\r\n')])
  const values = Array.from({ length: random.integer(0, 5) }, () => randomValue(random, depth + 1))
  return Buffer.concat([Buffer.from(`*${values.length}\r\n`), ...values])
}

test(`replies are counted, however they are cut (LTXD_SEED=${SEED})`, () => {
  const random = new Random(SEED)
  for (let round = 0; round < 30; round++) {
    const values = Array.from({ length: 20 }, () => randomValue(random))
    const bytes = Buffer.concat(values)
    const scanner = new ReplyScanner()
    const most = random.integer(1, 60)
    let ends = 0
    const boundaries = new Map(values.map((value, i) => [(ends += value.length), i + 1]))
    for (let at = 0; at < bytes.length;) {
      const next = Math.min(bytes.length, at + random.integer(1, most))
      scanner.scan(bytes.subarray(at, next))
      at = next
      expect(scanner.between).toBe(boundaries.has(at))
      if (scanner.between) expect(scanner.complete).toBe(boundaries.get(at))
    }
    expect(scanner.complete).toBe(values.length)
  }
})

test.each([
  ['an unknown type', '%1\r\n'],
  ['a length of none', '$\r\n'],
  ['a negative length', '$-2\r\n'],
  ['a fraction', '*1.5\r\n'],
  ['a line feed alone', '+OK\rx'],
  ['a text that is longer than announced', '$1\r\nxx\r\n'],
  ['a text that ends with a carriage return alone', '$1\r\nx\rx'],
  ['an endless line', `+${'x'.repeat(101)}`],
  ['a long text', '$99\r\n'],
  ['a long list', '*11\r\n'],
  ['many lists', '*2\r\n*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n*5\r\n'],
  ['deep lists', '*1\r\n'.repeat(33)],
])('%s is rejected at its first byte', (_, text) => {
  for (const cut of [text.length, 1]) {
    const scanner = new ReplyScanner({
      bytes: text.startsWith('*1\r\n') ? 1000 : 100,
      values: text.length > 100 ? 100 : 10,
    })
    const bytes = Buffer.from(text)
    const feed = (end: number) => {
      for (let at = 0; at < end; at += cut) scanner.scan(bytes.subarray(at, Math.min(end, at + cut)))
    }
    expect(() => feed(bytes.length)).toThrow(UnreadableReplyError)
  }
})

test('a limit is of one reply, not of all', () => {
  const scanner = new ReplyScanner({ bytes: 100, values: 10 })
  for (let i = 0; i < 100; i++) scanner.scan(Buffer.from(`*9\r\n${':1\r\n'.repeat(9)}$90\r\n${'x'.repeat(90)}\r\n`))
  expect(scanner.complete).toBe(200)
})
