import { describe, expect, test } from 'vitest'
import { HeldRequests } from './held-requests.ts'
import { IN_HEADER, MAX_TRANSFER, OPCODE } from './kernel.ts'
import { Request } from './request.ts'

const request = new Request()

function received(opcode: number, unique: number, dataBytes = 0): Request {
  const length = IN_HEADER.SIZE + dataBytes
  request.words[IN_HEADER.len >> 2] = length
  request.words[IN_HEADER.opcode >> 2] = opcode
  request.words[IN_HEADER.unique >> 2] = unique
  request.begin(length)
  return request
}

describe('requests that wait', () => {
  test('are returned in their order, with their own bytes, once they are decided', () => {
    const held = new HeldRequests()
    received(OPCODE.WRITE, 2, 8)
    request.bytes.fill(7, IN_HEADER.SIZE, IN_HEADER.SIZE + 8)
    expect(held.hold(request)).toBe(true)
    request.bytes.fill(0)
    expect(held.hold(received(OPCODE.OPEN, 4))).toBe(true)
    expect(held.next()).toBeUndefined()
    held.decide()
    const again = new Request()
    again.begin(again.restore(held.next() ?? new Uint8Array()))
    expect([again.opcode, again.unique, again.bytes[IN_HEADER.SIZE + 7]]).toEqual([OPCODE.WRITE, 2, 7])
    expect(held.next()).toHaveLength(IN_HEADER.SIZE)
    expect(held.next()).toBeUndefined()
  })

  test('end with a signal, each by itself', () => {
    const held = new HeldRequests()
    held.hold(received(OPCODE.WRITE, 2))
    expect([held.interrupt(4), held.interrupt(2), held.interrupt(2), held.any]).toEqual([false, true, false, false])
  })

  test('are none that keep a directory locked', () => {
    const held = new HeldRequests()
    for (const opcode of [OPCODE.CREATE, OPCODE.UNLINK, OPCODE.RENAME, OPCODE.RENAME2, OPCODE.MKDIR, OPCODE.LINK])
      expect(held.hold(received(opcode, 2))).toBe(false)
  })

  test('are bounded in number and in bytes; a decided one makes room', () => {
    const held = new HeldRequests()
    let taken = 0
    while (held.hold(received(OPCODE.WRITE, 2 * taken, MAX_TRANSFER))) taken++
    expect(taken).toBe(63)
    held.decide()
    for (taken = 0; held.hold(received(OPCODE.OPEN, 2 * taken));) taken++
    expect(taken).toBe(1024)
  })
})
