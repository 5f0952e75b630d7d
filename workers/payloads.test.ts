import { describe, expect, test } from 'vitest'
import { jobId, scheduleId } from './job-ids.ts'
import { parsePayload, PayloadError } from './payloads.ts'
import type { QueueName } from './queues.ts'

const base = { backup: 's3://bucket/prefix?endpoint=http://127.0.0.1:7070&region=eu-1', database: 'tenants/a b.db' }
const restore = { ...base, output: { key: 'restores/a.db' } }

describe('a valid payload is accepted unchanged', () => {
  test.each<[QueueName, object]>([
    ['compact', { ...base, level: 8 }],
    ['snapshot', base],
    ['retain', { ...base, snapshotRetentionMs: 86_400_000, level0RetentionMs: 0 }],
    ['restore', { ...restore, target: { kind: 'txid', txid: '1f' } }],
    ['restore', { ...restore, target: { kind: 'timestamp', timestamp: '2026-01-31T12:00:00Z' } }],
    ['restore', { ...restore, target: { kind: 'newest' }, output: { path: 'a/b.db' } }],
  ])('%s %j', (queue, payload) => {
    expect(parsePayload(queue, payload)).toEqual(payload)
  })

  test('a restore targets the newest state by default', () => {
    expect(parsePayload('restore', restore).target).toEqual({ kind: 'newest' })
  })
})

describe('a payload’s format', () => {
  test('is 1 if it has no number, and the number is no part of the payload', () => {
    const payload = { ...base, level: 1 }
    expect(parsePayload('compact', { format: 1, ...payload })).toEqual(payload)
  })

  test('is rejected if it is a later one', () => {
    const parse = () => parsePayload('compact', { format: 2, ...base, level: 1, whatever: 'comes' })
    expect(parse).toThrow(PayloadError)
    expect(parse).toThrow(/^a job of queue compact cannot be done: its data has format 2, but ltxd \S+ knows only 1\. /)
  })

  test('is not written while workers of version 0.1 may run, because they reject it', () => {
    expect(Object.keys(parsePayload('snapshot', base))).toEqual(Object.keys(base))
  })
})

describe('an invalid payload is rejected by field name, without repeating its content', () => {
  test.each<[QueueName, unknown, RegExp]>([
    ['compact', undefined, /its data: /],
    ['compact', { ...base, level: 9 }, /level: /],
    ['compact', { ...base, level: 1, extra: 1 }, /"extra"/],
    ['snapshot', { ...base, backup: '/nowhere' }, /backup: is neither a URL nor the name of a store/],
    ['snapshot', { ...base, backup: 'x'.repeat(65) }, /backup: is neither/],
    ['snapshot', { ...base, backup: 's3://key:hunter2@bucket/p' }, /backup: holds credentials/],
    ['snapshot', { ...base, backup: 's3://bucket/p?secretAccessKey=hunter2' }, /backup: holds credentials/],
    ['snapshot', { ...base, backup: 's3://bucket/p?endpoint=me:hunter2@host' }, /backup: holds credentials/],
    ['snapshot', { ...base, backup: 's3://me@bucket/p#hunter2@x' }, /backup: holds credentials/],
    ['snapshot', { ...base, database: '../etc/passwd' }, /database: .*part "\."/],
    ['retain', { ...base, snapshotRetentionMs: -1, level0RetentionMs: 0 }, /snapshotRetentionMs: /],
    ['restore', { ...restore, target: { kind: 'txid', txid: 'xyz' } }, /target\.txid: /],
    ['restore', { ...restore, target: { kind: 'txid', txid: '0' } }, /target\.txid: transactions begin at 1/],
    ['restore', { ...restore, target: { kind: 'timestamp', timestamp: 'noon' } }, /target\.timestamp: is not a time/],
    ['restore', { ...restore, output: { path: '/etc/passwd' } }, /output/],
    ['restore', { ...restore, output: { path: 'a/../../b' } }, /output/],
    ['restore', { ...restore, output: { path: '.' } }, /output/],
    ['restore', { ...restore, output: { key: 'a//b' } }, /output/],
    ['restore', { ...restore, output: { key: 'a.db/ltx/0/0000000000000001-0000000000ffffff.ltx' } }, /output/],
    ['restore', { ...restore, output: { key: 'x', store: '/etc' } }, /output/],
    ['restore', base, /output/],
  ])('%s %j', (queue, payload, expected) => {
    const parse = () => parsePayload(queue, payload)
    expect(parse).toThrow(PayloadError)
    expect(parse).toThrow(expected)
    expect(parse).not.toThrow(/hunter2/)
  })
})

test('no text of a payload is unbounded, and no message repeats one', () => {
  const long = 'x'.repeat(5_000_000)
  const payloads = [
    { ...restore, backup: long },
    { ...restore, backup: `s3://bucket/${long}` },
    { ...restore, database: long },
    { ...restore, database: 'a/'.repeat(2_000_000) },
    { ...restore, target: { kind: long } },
    { ...restore, target: { kind: 'txid', txid: 'f'.repeat(5_000_000) } },
    { ...restore, target: { kind: 'timestamp', timestamp: long } },
    { ...restore, output: { path: long } },
    { ...restore, output: { key: long } },
    { ...restore, output: { key: 'x', store: long } },
    { ...restore, [long]: 1 },
    { ...restore, ...Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`key${i}`, i])) },
    { ...restore, format: long },
    { ...restore, format: { [long]: 1 } },
    Object.assign([], restore),
    long,
  ]
  for (const payload of payloads) {
    let message = ''
    try {
      parsePayload('restore', payload)
    } catch (error) {
      expect(error).toBeInstanceOf(PayloadError)
      message = (error as Error).message
    }
    expect(message).not.toBe('')
    expect(message.length).toBeLessThan(1200)
  }
})

test('a job about a store by its name has an id of its own', () => {
  const id = jobId(parsePayload('snapshot', { backup: 'archive', database: 'a.db' }))
  expect(id).not.toBe(jobId(parsePayload('snapshot', { backup: 'backup', database: 'a.db' })))
})

test('the same request always has the same job id, and another request another', () => {
  const id = (value: object) => jobId(parsePayload('restore', value))
  expect(id(restore)).toBe(id({ output: { key: 'restores/a.db' }, target: { kind: 'newest' }, ...base }))
  const others = [
    { ...restore, target: { kind: 'txid', txid: '1' } },
    { ...restore, output: { path: 'restores/a.db' } },
    { ...restore, database: 'tenants/a' },
    { ...restore, backup: 's3://bucket/other' },
  ]
  expect(new Set([id(restore), ...others.map(id)]).size).toBe(5)
})

test('no job id contains a colon, whatever the database’s name', () => {
  const odd = { backup: 'file:///b', database: 'a:b:c/d:e' }
  expect(jobId(odd)).not.toContain(':')
  expect(scheduleId('compact', odd.backup, odd.database, 3)).toMatch(/^[0-9a-f]{12}\.a%3Ab%3Ac\/d%3Ae\.level-3$/)
})
