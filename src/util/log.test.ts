import { expect, onTestFinished, test, vi } from 'vitest'
import { createLogger, limitLines, type LogFormat } from './log.ts'
import { shortened, textLine } from './log-text.ts'

function capture(format: LogFormat): { lines: string[]; logger: ReturnType<typeof createLogger> } {
  const lines: string[] = []
  return { lines, logger: createLogger({ level: 'info', format, write: (line) => lines.push(line) }) }
}

test('text is one line for a person: time, level, message, fields', () => {
  const { lines, logger } = capture('text')
  logger.info({ database: 'a.db', pages: 12, reason: 'two words' }, 'opened')
  logger.debug('not shown')
  expect(lines).toHaveLength(1)
  const [, time = '', rest] = /^(\S+) (.*)\n$/.exec(lines[0] ?? '') ?? []
  expect(rest).toBe('info  opened database=a.db pages=12 reason="two words"')
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$/)
})

test.each([
  ['Europe/Vienna', '2026-11-29T07:17:08.049+01:00'],
  ['America/St_Johns', '2026-11-29T02:47:08.049-03:30'],
  ['Asia/Kathmandu', '2026-11-29T12:02:08.049+05:45'],
  ['UTC', '2026-11-29T06:17:08.049+00:00'],
])('text has the local time of %s with its offset', (zone, expected) => {
  vi.stubEnv('TZ', zone)
  onTestFinished(() => void vi.unstubAllEnvs())
  expect(textLine('{"level":"info","time":"2026-11-29T06:17:08.049Z","msg":"x"}', false)).toBe(`${expected} info  x\n`)
})

test('an error is printed as its message', () => {
  const { lines, logger } = capture('text')
  logger.error({ err: new Error('disk full') }, 'the upload failed')
  expect(lines[0]).toMatch(/ error the upload failed err="disk full"\n$/)
})

test('a message that equals the error is printed once', () => {
  const { lines, logger } = capture('text')
  logger.error({ err: new Error('disk full') }, 'disk full')
  logger.error(new Error('disk full'))
  for (const line of lines) expect(line).toMatch(/ error disk full\n$/)
  expect(lines).toHaveLength(2)
})

test('a name from the file system cannot steer a terminal', () => {
  const { lines, logger } = capture('text')
  logger.error({ file: 'a\u001b[2Jb' }, 'bad \u001b[31m\nname')
  expect(lines[0]).toContain('bad \\x1b[31m\\x0aname')
  expect(lines[0]).not.toContain('\u001b[2J')
  expect(lines[0]?.trimEnd()).not.toContain('\n')
})

test('C1 control characters and overrides of the direction of writing are escaped in fields, messages and errors', () => {
  const { lines, logger } = capture('text')
  const hostile = 'a\u009b31m\u202eb'
  logger.error({ host: hostile, list: [hostile], err: new Error(hostile) }, `of ${hostile}`)
  expect(lines[0]).toMatch(/ of a\\x9b31m\\u202eb host=.* list=.* err=/)
  // eslint-disable-next-line no-control-regex -- they are what must not be there
  expect(lines[0]?.trimEnd()).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
})

test("a peer's text is shortened without cutting a character", () => {
  expect(shortened('x'.repeat(200))).toBe('x'.repeat(200))
  expect(shortened('x'.repeat(201))).toBe(`${'x'.repeat(199)}…`)
  expect(shortened(`${'x'.repeat(198)}😀${'y'.repeat(9)}`).isWellFormed()).toBe(true)
})

test('what a peer causes is limited: the next line after the time says how many lines were dropped', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const { lines, logger } = capture('json')
  const limited = limitLines(logger, 3, 1_000)
  for (let i = 0; i < 10; i++) limited.warn({ i }, 'again')
  limited.info('another')
  expect(lines).toHaveLength(3)
  vi.advanceTimersByTime(1_000)
  limited.warn('later')
  expect(lines.slice(3).map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { lines: 8, msg: 'log lines about a peer were dropped' },
    { level: 'warn', msg: 'later' },
  ])
})

test('a line that is no record is printed as it is', () => {
  expect(textLine('not json\n', false)).toBe('not json\n')
})

test('json is one object a line, without secrets', () => {
  const { lines, logger } = capture('json')
  logger.warn({ secret: 's1', cluster: { password: 's2' }, database: 'a.db' }, 'careful')
  const expected = { level: 'warn', msg: 'careful', database: 'a.db', secret: '[redacted]' }
  expect(JSON.parse(lines[0] ?? '')).toMatchObject(expected)
  expect(lines[0]).not.toMatch(/s1|s2/)
})

test('the id of the node is in each record as JSON, and not in text', () => {
  for (const format of ['json', 'text'] as const) {
    const { lines, logger } = capture(format)
    logger.child({ node: '00000000000000ab' }).info({ peer: '00000000000000cd' }, 'replica connected')
    expect(lines[0]?.includes('00000000000000ab'), format).toBe(format === 'json')
    expect(lines[0]).toContain('00000000000000cd')
  }
})

test('a stack cannot steer a terminal, and none of its lines looks like another log line', () => {
  const { lines, logger } = capture('text')
  logger.fatal(new Error('a\u001b[2J\u009b31m\u202e\n2026-11-29T00:00:00.000Z error forged'))
  // eslint-disable-next-line no-control-regex -- they are what must not be there
  expect(lines[0]).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]|\n2026/)
  expect(lines[0]).toMatch(/\n {4}at /)
})
