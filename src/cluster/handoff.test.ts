import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Handoff } from './handoff.ts'
import type { Event } from './role/role-events.ts'
import { Node, OTHER, TTL } from './testing.ts'

test('a handoff ends when its node could not step down: nothing is released then', async () => {
  const node = Node.leading()
  const handoff = new Handoff(OTHER.nodeId, TTL)
  const on = (event: Event) => {
    node.on(event)
    handoff.observe(node.state, event)
  }
  on({ type: 'handoff', to: OTHER.nodeId })
  on({ type: 'drained', term: 8n, successor: OTHER.nodeId, kept: 'elsewhere' })
  expect(node.state.name).toBe('yielding')
  on({ type: 'stepped-down', clean: false })
  const ended = await Promise.race([handoff.decided.catch((error: unknown) => error), setImmediate('waits')])
  expect(ended).toMatchObject({
    code: 'HANDOFF_FAILED',
    message: expect.stringContaining('could not step down') as string,
  })
})
