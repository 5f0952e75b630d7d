import { beforeEach, describe, expect, it } from 'vitest'
import { errnoNumber } from '../errno.ts'
import { ENTRY_OUT, FORGET_IN, IN_HEADER, OUT_HEADER } from '../protocol/kernel.ts'
import { Handles } from './handles.ts'
import { Names } from './names.ts'
import { type Wire, WireError, WireMessage } from './wire.ts'

/** A session's files, by directory and name: `DIRECTORY/NAME` maps to a file's number. */
class Answers {
  readonly files = new Map<string, number>()
  readonly fleeting = new Set<number>()
  readonly calls: string[] = []
  readonly forgotten: [node: number, lookups: number][] = []

  get wire(): Wire {
    const request = new WireMessage(IN_HEADER.SIZE)
    const reply = new WireMessage(OUT_HEADER.SIZE)
    const prepare = (fill: (request: WireMessage) => unknown) => {
      request.length = IN_HEADER.SIZE
      fill(request)
    }
    return {
      call: (_opcode: string, node: number, fill: (request: WireMessage) => unknown) => {
        prepare(fill)
        const key = `${node}/${request.slice(0, request.size - 1).toString()}`
        this.calls.push(key)
        const id = this.files.get(key) ?? 0
        return reply.set64(ENTRY_OUT.nodeid, id).set64(ENTRY_OUT.entry_valid, this.fleeting.has(id) ? 0 : 1)
      },
      send: (_opcode: string, node: number, fill: (request: WireMessage) => unknown) => {
        prepare(fill)
        this.forgotten.push([node, request.u64(FORGET_IN.nlookup)])
      },
    } as unknown as Wire
  }
}

describe('names', () => {
  let session: Answers
  let names: Names
  beforeEach(() => {
    session = new Answers()
    for (const [key, id] of [
      ['1/d', 10],
      ['10/a', 11],
      ['10/ab', 12],
      ['1/lag', 13],
    ] as const)
      session.files.set(key, id)
    session.fleeting.add(13)
    names = new Names(session.wire)
  })

  it('are looked up directory by directory, once', () => {
    expect([names.find('/d/a').id, names.find('/d/a').id, names.find('/d/ab').id, names.find('/').id]).toEqual([
      ...[11, 11, 12, 1],
    ])
    expect(session.calls).toEqual(['1/d', '10/a', '10/ab'])
  })

  it('that do not exist, or are not UTF-8, are errors', () => {
    expect(() => names.find('/x')).toThrow('errno 2')
    expect(() => names.find('/\ufffd')).toThrow('errno 84')
  })

  it('that do not last are looked up each time, and all their lookups are forgotten', () => {
    for (let i = 0; i < 3; i++) expect(names.find('/lag').id).toBe(13)
    session.files.delete('1/lag')
    expect(() => names.find('/lag')).toThrow('errno 2')
    expect(session.forgotten).toEqual([[13, 3]])
  })

  it('that the session has removed by itself are looked up again after one ESTALE', () => {
    const stale = (): never => {
      throw new WireError(errnoNumber('ESTALE'))
    }
    expect(() => names.through('/d/a', stale)).toThrow(`errno ${errnoNumber('ESTALE')}`)
    session.files.delete('10/a')
    expect(() => names.find('/d/a')).toThrow('errno 2')
    expect(session.forgotten).toEqual([[11, 1]])
  })

  it('move with their directory, and names beside it do not', () => {
    session.files.set('1/da', 14)
    for (const name of ['/d/a', '/d/ab', '/da']) names.find(name)
    names.move('/d', '/e')
    expect(['/d', '/d/a', '/e', '/e/a', '/e/ab', '/da'].map((name) => names.peek(name)?.id)).toEqual([
      ...[undefined, undefined, 10, 11, 12, 14],
    ])
  })

  it('that replace another file make the session forget it', () => {
    for (const name of ['/d/a', '/d/ab']) names.find(name)
    names.move('/d/a', '/d/ab')
    expect([names.peek('/d/ab')?.id, session.forgotten]).toEqual([11, [[12, 1]]])
  })

  it('are bounded: those of files that are not open are forgotten first', () => {
    const handles = new Handles()
    handles.add({ fh: 2 ** 52, known: names.find('/d/a') })
    for (let i = 0; i < 5000; i++) {
      session.files.set(`1/f${i}`, 100 + i)
      names.find(`/f${i}`)
    }
    expect(names.peek('/d/a')?.id).toBe(11)
    expect([names.peek('/f0'), names.peek('/f4999')?.id]).toEqual([undefined, 5099])
    expect(handles.remove(1)).toMatchObject({ fh: 2 ** 52, known: { id: 11, opens: 0 } })
    expect(() => handles.get(1)).toThrow('not open')
  })
})
