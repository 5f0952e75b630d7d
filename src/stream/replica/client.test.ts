import { expect, test } from 'vitest'
import { TestReplica } from '../testing/replica.ts'
import { until } from '../testing/until.ts'

test.each(['https://127.0.0.1:1', 'no URL at all', 'http://127.0.0.1:99999'])(
  'a primary at %s, to which no request can be made, is a failed connection, which is retried',
  async (url) => {
    const replica = new TestReplica()
    const client = replica.follow({ nodeId: 'a'.repeat(16), hostname: 'first', url })
    await until('the failure is known', () => client.status().lastError !== undefined)
    expect(client.status().lastError).toMatch(/^the connection to the primary failed: /)
    expect(client.status().connected).toBe(false)
    expect(replica.lines.filter((line) => line.includes('streaming from the primary failed'))).toHaveLength(1)
    await expect(client.stop()).resolves.toBeUndefined()
  },
)
