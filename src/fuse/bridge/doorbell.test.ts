import fs from 'node:fs'
import { describe, expect, test } from 'vitest'
import { socketPair } from '../host/descriptor-socket.ts'
import { ringDoorbell } from '../protocol/doorbell.ts'

describe('the doorbell of a mount through a bridge', () => {
  test.each([0, 1, 3])('reports that the session has ended, with %i requests unread', async (unread) => {
    const [device, bell] = await socketPair('messages')
    for (let i = 0; i < unread; i++) expect(ringDoorbell({ device, bell })).toBe(true)
    fs.closeSync(device)
    for (let i = 0; i < 3; i++) expect(ringDoorbell({ device, bell })).toBe(false)
    fs.closeSync(bell)
  })
})
