import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_TERM } from '../../data/term.ts'
import { MAX_TXID } from '../../log/limits.ts'
import { type Position, toTXID } from '../../ltx/format/types.ts'
import { MAX_TIME_MS, MIN_TIME_MS } from '../../util/time.ts'
import { StreamProtocolError } from './errors.ts'
import { Flow } from './flow.ts'
import type { PrimaryMessage, ReplicaMessage } from './messages.ts'
import {
  encodePrimaryMessage,
  encodeReplicaMessage,
  parsePrimaryMessage,
  parseReplicaMessage,
  positionMessages,
} from './messages.ts'
import { encodeFrame, type Frame, FrameParser, MAX_BODY_BYTES, MAX_HEADER_BYTES, PREFIX_SIZE } from './wire.ts'

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
const term = fc.bigInt({ min: 0n, max: MAX_TERM })
const txid = fc.bigInt({ min: 0n, max: MAX_TXID })
const position = fc.record({ txid, checksum: u64 }) as unknown as fc.Arbitrary<Position>
const name = fc.stringMatching(/^[a-zäö%]{1,12}(\/[a-z0-9.]{1,3}x)?$/)
const body = fc.uint8Array({ maxLength: 3_000 })
const frames = fc.array(fc.tuple(fc.dictionary(fc.string(), fc.jsonValue()), body), { maxLength: 12 })

function parseAll(parser: FrameParser, chunks: Iterable<Uint8Array>): Frame[] {
  const found: Frame[] = []
  for (const chunk of chunks)
    for (const { header, body } of parser.push(chunk)) found.push({ header, body: body.slice() })
  return found
}

function split(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const cuts = [0, ...at.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return cuts.slice(1).map((end, i) => bytes.subarray(cuts[i], end))
}

describe('frames', () => {
  test('however the bytes are split, the same frames come out', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(), { maxLength: 40 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map(([header, content]) => encodeFrame(header, content)))
        const parser = new FrameParser()
        const found = parseAll(parser, split(bytes, cuts))
        parser.end()
        const expected = sent.map(([header]) => JSON.parse(JSON.stringify(header)) as unknown)
        expect(found.map(({ header }) => header)).toEqual(expected)
        expect(found.map((frame) => Buffer.from(frame.body))).toEqual(sent.map(([, content]) => Buffer.from(content)))
      }),
    )
  })

  test('a parser fed byte by byte gives each frame at its last byte', () => {
    const bytes = encodeFrame({ type: 'x' }, Buffer.from('abc'))
    const parser = new FrameParser()
    for (let at = 0; at < bytes.length; at++) {
      expect([...parser.push(bytes.subarray(at, at + 1))]).toHaveLength(at === bytes.length - 1 ? 1 : 0)
    }
  })

  test('damaged bytes give frames or a typed error, and never hold more than was received', () => {
    const mutation = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(frames, mutation, fc.array(fc.nat(), { maxLength: 10 }), (sent, changes, cuts) => {
        const bytes = Buffer.concat([
          ...sent.map(([header, content]) => encodeFrame(header, content)),
          Buffer.from('{}'),
        ])
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        const parser = new FrameParser()
        let received = 0
        try {
          for (const chunk of split(bytes, cuts)) {
            received += chunk.length
            for (const frame of parser.push(chunk)) expect(frame.body.length).toBeLessThanOrEqual(received)
            expect(parser.pendingBytes).toBeLessThanOrEqual(received)
          }
          parser.end()
        } catch (error) {
          expect(error).toBeInstanceOf(StreamProtocolError)
          expect(() => [...parser.push(new Uint8Array(1))]).toThrow(StreamProtocolError)
        }
      }),
    )
  })

  test.each([
    ['a header', MAX_HEADER_BYTES + 1, 0],
    ['a header', 0xffffffff, 0],
    ['a header', 0, 0],
    ['a body', 2, MAX_BODY_BYTES + 1],
    ['a body', 2, 0xffffffff],
  ])('I10: %s with a length of %i and %i bytes is rejected at its prefix', (what, headerBytes, bodyBytes) => {
    const prefix = Buffer.alloc(PREFIX_SIZE)
    prefix.writeUInt32BE(headerBytes, 0)
    prefix.writeUInt32BE(bodyBytes, 4)
    expect(() => [...new FrameParser().push(prefix)]).toThrow(new RegExp(`${what} of`))
  })

  test('a stream that ends inside a frame is an error', () => {
    const bytes = encodeFrame({ type: 'x' }, Buffer.from('abc'))
    for (let end = 1; end < bytes.length; end++) {
      const parser = new FrameParser()
      parseAll(parser, [bytes.subarray(0, end)])
      expect(() => parser.end()).toThrow(StreamProtocolError)
    }
  })

  test('what is too large to receive is not sent', () => {
    expect(() => encodeFrame({}, new Uint8Array(MAX_BODY_BYTES + 1))).toThrow(StreamProtocolError)
  })
})

describe('messages', () => {
  const parsed = <T>(bytes: Uint8Array, parse: (frame: Frame) => T): T => {
    const [frame] = parseAll(new FrameParser(), [bytes])
    return parse(frame as Frame)
  }

  test('a message is decoded as it was encoded', () => {
    const fromPrimary: fc.Arbitrary<PrimaryMessage> = fc.oneof(
      fc.record({
        type: fc.constant('transaction' as const),
        database: name,
        txid,
        preApplyChecksum: u64,
        postApplyChecksum: u64,
        timestampMs: fc.integer({ min: MIN_TIME_MS, max: MAX_TIME_MS }),
        sizeBytes: fc.maxSafeNat(),
      }),
      fc.record({
        type: fc.constant('snapshot' as const),
        database: name,
        position,
        preApplyChecksum: u64,
        timestampMs: fc.integer({ min: MIN_TIME_MS, max: MAX_TIME_MS }),
        sizeBytes: fc.integer({ min: 1 }),
        fork: fc.option(txid),
        diverged: fc.boolean(),
        reason: fc.string(),
      }),
      fc.record({ type: fc.constant('restarted' as const), database: name, number: fc.maxSafeNat() }),
    ) as unknown as fc.Arbitrary<PrimaryMessage>
    const fromReplica: fc.Arbitrary<ReplicaMessage> = fc.oneof(
      fc.record({
        type: fc.constant('positions' as const),
        positions: fc.array(fc.tuple(name, position), { maxLength: 20 }),
        complete: fc.boolean(),
      }),
      fc.record({
        type: fc.constant('hello' as const),
        protocol: fc.nat(),
        nodeId: fc.constant('0123456789abcdef'),
        hostname: fc.stringMatching(/^[a-z.]{0,20}$/),
        url: fc.constantFrom('http://a:1', 'http://b'),
        term,
      }),
      fc.record({ type: fc.constant('history' as const), database: name, positions: fc.array(position) }),
      fc.record({
        type: fc.constant('restart' as const),
        database: name,
        number: fc.maxSafeNat(),
        position: fc.option(position),
        reason: fc.string(),
      }),
    )
    fc.assert(
      fc.property(fromPrimary, (message) => {
        expect(parsed(encodePrimaryMessage(message), parsePrimaryMessage)).toEqual(message)
      }),
    )
    fc.assert(
      fc.property(fromReplica, (message) => {
        expect(parsed(encodeReplicaMessage(message), parseReplicaMessage)).toEqual(message)
      }),
    )
  })

  test.each([
    [{ type: 'chunk' }, /"database"/],
    [{ type: 'chunk', database: '../x' }, /not a database name/],
    [{ type: 'chunk', database: 'a\u0000' }, /not a database name/],
    [{ type: 'unheard-of' }, /not as expected/],
    [{ type: 'hello', protocol: 1, nodeId: 'x', hostname: '', term: '1', clusterId: 'c' }, /"nodeId"/],
    [{ type: 'hello', protocol: 1, nodeId: '0'.repeat(16), hostname: '', term: '-1', clusterId: 'c' }, /"term"/],
    [[], /not as expected/],
    [{ type: 'restarted', database: 'a', number: 1.5 }, /"number"/],
  ])('%j is rejected, naming the field', (header, problem) => {
    expect(() => parsePrimaryMessage({ header, body: new Uint8Array() })).toThrow(problem)
  })

  const raw = { type: 'hello', protocol: 2, nodeId: '0'.repeat(16), hostname: 'a', url: 'http://a:1', term: '1' }
  test.each([
    [{ ...raw, hostname: 'a\u009b31m' }, /"hostname"/],
    [{ ...raw, hostname: 'a\u202eb' }, /"hostname"/],
    [{ ...raw, url: 'http://u:p@a:1' }, /"url"/],
    [{ ...raw, url: 'http://a:1/path' }, /"url"/],
    [{ ...raw, url: 'http://a:1?query' }, /"url"/],
    [{ ...raw, url: 'http://a:1#' }, /"url"/],
    [{ ...raw, url: 'file:///etc' }, /"url"/],
    [{ ...raw, term: String(2n ** 62n + 1n) }, /"term".*too large/],
    [{ type: 'acknowledge', positions: [['a.db', `4000000000000001/${'8'.repeat(16)}`]] }, /too large/],
    [{ type: 'acknowledge', positions: [['a.db-wal', `0000000000000001/${'8'.repeat(16)}`]] }, /not a database name/],
  ])('%j of a replica is rejected, naming the field', (header, problem) => {
    expect(() => parseReplicaMessage({ header, body: new Uint8Array() })).toThrow(problem)
  })

  test("a peer's text is shortened to 200 characters where it is parsed", () => {
    const header = { type: 'restart', database: 'a.db', number: 1, position: null, reason: 'x'.repeat(4_000) }
    const message = parseReplicaMessage({ header, body: new Uint8Array() })
    expect(message).toMatchObject({ reason: `${'x'.repeat(199)}…` })
  })

  test('what a newer neighbour adds is ignored', () => {
    const header = { type: 'heartbeat', mood: 'good' }
    expect(parsePrimaryMessage({ header, body: new Uint8Array() })).toEqual({ type: 'heartbeat' })
  })

  test('any number of positions fits into messages', () => {
    const at = { txid: toTXID(1), checksum: toTXID(1n << 63n) as never }
    const all = Array.from({ length: 16_384 }, (_, i): [string, Position] => [`${'ä'.repeat(30)}/${i}`, at])
    const found: [string, Position][] = []
    for (const positions of positionMessages(all)) {
      const message = parsed(encodeReplicaMessage({ type: 'acknowledge', positions }), parseReplicaMessage)
      if (message.type === 'acknowledge') found.push(...message.positions)
    }
    expect(found).toEqual(all)
  })
})

test('however many databases take nothing, another one has room, and all together are bounded', () => {
  const flow = new Flow()
  for (let i = 0; i < 1_000; i++) {
    while (flow.roomToBegin(`${i}.db`) > 0) flow.take(`${i}.db`, 4_000)
    expect(flow.bytesOf(`${i}.db`)).toBeGreaterThan(0)
  }
  expect(flow.totalBytes).toBeLessThan(36 << 20)
  expect(flow.roomToBegin('next.db')).toBeGreaterThan(0)
  expect([flow.isFlowing('0.db'), flow.isFlowing('next.db')]).toEqual([false, true])
  flow.give('0.db', flow.bytesOf('0.db'))
  expect(flow.isFlowing('0.db')).toBe(true)
})
