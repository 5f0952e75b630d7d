import { expect, test } from 'vitest'
import { createLogger, type LogFormat, redactUrl } from './log.ts'
import { textLine } from './log-text.ts'

function capture(format: LogFormat): { lines: string[]; logger: ReturnType<typeof createLogger> } {
  const lines: string[] = []
  return { lines, logger: createLogger({ level: 'info', format, write: (line) => lines.push(line) }) }
}

test('text is one line for a person: time, level, message, fields', () => {
  const { lines, logger } = capture('text')
  logger.info({ db: 'a.db', pages: 12, reason: 'two words' }, 'opened')
  logger.debug('not shown')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}opened db=a\.db pages=12 reason="two words"\n$/)
})

test('an error is its message, and a name from the file system cannot steer a terminal', () => {
  const { lines, logger } = capture('text')
  logger.error({ err: new Error('gone'), file: 'a\u001b[2Jb' }, 'bad \u001b[31m\nname')
  expect(lines[0]).toContain('bad \\x1b[31m\\x0aname')
  expect(lines[0]).toContain('error=gone')
  expect(lines[0]).not.toContain('\u001b[2J')
  expect(lines[0]?.trimEnd()).not.toContain('\n')
})

test('a line that is no record is passed on', () => {
  expect(textLine('not json\n', false)).toBe('not json\n')
})

test('json is one object a line, without secrets', () => {
  const { lines, logger } = capture('json')
  logger.warn({ secret: 's1', cluster: { password: 's2' }, db: 'a.db' }, 'careful')
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'warn', msg: 'careful', db: 'a.db', secret: '[redacted]' })
  expect(lines[0]).not.toMatch(/s1|s2/)
})

test('an address is shown without its secrets', () => {
  expect(redactUrl('file:///var/backups')).toBe('file:///var/backups')
  expect(redactUrl('s3://user:pass@bucket/x?region=eu&secretKey=abc')).toBe(
    's3://redacted:redacted@bucket/x?region=eu&secretKey=redacted',
  )
  expect(redactUrl('not a url')).toBe('not a url')
})
