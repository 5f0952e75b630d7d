import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MAX_TERM } from '../../data/term.ts'
import { ForeignRecordError, UnreadableRecordError } from './errors.ts'
import { encodeRecord, type Leader, type LeaseRecord, MAX_RECORD_BYTES, parseRecord } from './lease.ts'

const LEADER: Leader = {
  term: 6n,
  holder: { nodeId: '00000000000000cd', hostname: 'node-2', url: 'http://127.0.0.1:20203' },
  kept: 'alone',
}
const RECORD: LeaseRecord = {
  term: 7n,
  holder: { nodeId: '00000000000000ab', hostname: 'node-1', url: 'http://127.0.0.1:20202' },
  state: 'released',
  successor: '00000000000000cd',
  lastLeader: LEADER,
  uploadsMayRunMs: 1_500,
  clusterId: '0123456789abcdef',
  ttlMs: 10_000,
  renewals: 3,
}
const parse = (text: string | Buffer) => parseRecord(Buffer.from(text), 'key k in Consul')
const altered = (change: (record: Record<string, unknown>) => void) => {
  const value = JSON.parse(encodeRecord(RECORD).toString()) as Record<string, unknown>
  change(value)
  return JSON.stringify(value)
}

test('a record is decoded as it was encoded', () => {
  expect(parse(encodeRecord(RECORD))).toEqual(RECORD)
  const { successor: _, lastLeader: _leader, uploadsMayRunMs: _ms, ...without } = RECORD
  expect(parse(encodeRecord({ ...without, term: MAX_TERM }))).toEqual({ ...without, term: MAX_TERM })
})

test.each<[string, Partial<LeaseRecord>, string]>([
  ['a term that is too large', { term: MAX_TERM + 1n }, 'term: is too large'],
  [
    'an earlier term that is too large',
    { lastLeader: { ...LEADER, term: 2n ** 63n } },
    'lastLeader.term: is too large',
  ],
  ['a URL with a password', { holder: { ...RECORD.holder, url: 'http://u:p@host:1' } }, 'holder.url: is no URL'],
  ['a TTL without end', { ttlMs: Infinity }, 'ttlMs: '],
])('a record that no node could read is not encoded: %s', (_what, change, problem) => {
  expect(() => encodeRecord({ ...RECORD, ...change })).toThrow(UnreadableRecordError)
  expect(() => encodeRecord({ ...RECORD, ...change })).toThrow(problem)
})

test('keys that a later version adds are ignored', () => {
  expect(parse(altered((record) => (record.acknowledgedBy = ['x'])))).toEqual(RECORD)
})

test.each<[string, string | Buffer, string]>([
  ['nothing', '', 'not JSON'],
  ['other text', 'http://10.0.0.1', 'not JSON'],
  ['bytes that are not text', Buffer.from([0x22, 0xff, 0x22]), 'not JSON'],
  ['the record of litefs', '{"hostname":"a","advertise-url":"http://a:20202"}', 'ltxd: '],
  ['a format that is not a number', altered((record) => (record.ltxd = '2')), 'ltxd: '],
  ['no term', altered((record) => (record.term = '0')), 'term: expected a positive number'],
  ['a term beyond 2^62', altered((record) => (record.term = '4611686018427387905')), 'term: is too large'],
  ['the last term of 63 bits', altered((record) => (record.term = '9223372036854775807')), 'term: is too large'],
  [
    'a URL with a password',
    altered((record) => (record.holder = { ...RECORD.holder, url: 'http://u:p@a:1' })),
    'holder.url',
  ],
  [
    'a URL with more than host and port',
    altered((record) => (record.holder = { ...RECORD.holder, url: 'http://a:1/x?y#z' })),
    'holder.url',
  ],
  ['a term as a number', altered((record) => (record.term = 7)), 'term: '],
  [
    'a node id of another kind',
    altered((record) => (record.holder = { ...RECORD.holder, nodeId: '../..' })),
    'holder.nodeId',
  ],
  [
    'a name with a line break',
    altered((record) => (record.holder = { ...RECORD.holder, hostname: 'a\nb' })),
    'holder.hostname',
  ],
  [
    'a URL of another scheme',
    altered((record) => (record.holder = { ...RECORD.holder, url: 'file:///etc' })),
    'holder.url',
  ],
  [
    'a URL that peers cannot stream from',
    altered((record) => (record.holder = { ...RECORD.holder, url: 'https://a:1' })),
    'holder.url',
  ],
  ['a TTL that is too long', altered((record) => (record.ttlMs = 1e12)), 'ttlMs: '],
  ['a TTL of 0', altered((record) => (record.ttlMs = 0)), 'ttlMs: '],
  ['another state', altered((record) => (record.state = 'free')), 'state: '],
  ['too many bytes', altered((record) => (record.note = 'x'.repeat(MAX_RECORD_BYTES))), 'bytes'],
])('%s is foreign', (_what, text, expected) => {
  const found = (() => {
    try {
      return parse(text)
    } catch (error) {
      return error
    }
  })()
  expect(found).toBeInstanceOf(ForeignRecordError)
  expect((found as Error).message).toMatch(/^key k in Consul holds no lease record of ltxd \(.*\): choose another/)
  expect((found as Error).message).toContain(expected)
})

test('a record of a later format is rejected in one line with its place, its number and the known one', () => {
  expect(() => parse(altered((record) => (record.ltxd = 2)))).toThrow(
    /^key k in Consul has format 2, but ltxd \S+ knows only 1\. .*$/,
  )
})

test('any other bytes are foreign, and never another error', () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => Buffer.from(text)),
  )
  fc.assert(
    fc.property(anything, (bytes) => {
      expect(() => parse(Buffer.from(bytes))).toThrow(ForeignRecordError)
    }),
  )
})
