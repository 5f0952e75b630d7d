import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import type { ClusterMember } from '../harness/cluster.ts'
import { CuttingProxy } from '../harness/cutting-proxy.ts'
import { until } from '../harness/wait.ts'
import { TwoNodes } from './two-nodes.ts'

/** The warnings of a node that handed over as told. */
function handoffWarnings(log: string): string[] {
  return log.split('\n').filter((line) => /warn/i.test(line) && !/stream|founded a new cluster/.test(line))
}

describe.skipIf(findTool('consul') === undefined)('what a node of a cluster says', () => {
  const proxies: CuttingProxy[] = []
  let nodes: TwoNodes

  beforeAll(async () => {
    nodes = await TwoNodes.start({
      ttl: '120s',
      advertise: async (_, port) => {
        const proxy = await CuttingProxy.start(port)
        proxies.push(proxy)
        return `http://127.0.0.1:${proxy.port}`
      },
    })
    const writer = nodes.open(nodes.primary, 'app.db')
    await writer.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)')
    await writer.close()
    await nodes.same()
  }, 120_000)

  afterAll(async () => {
    await nodes[Symbol.asyncDispose]()
    for (const proxy of proxies) await proxy.stop()
  })

  async function ask(member: ClusterMember, route: string, body: object): Promise<{ status: number; text: string }> {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${member.url}/${route}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: answer.status, text: await answer.text() }
  }

  const lag = async () => Number(await nodes.shell('cat "$1"', join(nodes.replica.mount, '.lag')).then((s) => s.output))
  const metric = async (name: string) => {
    const text = await (await fetch(`${nodes.replica.url}/metrics`)).text()
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
  }

  test('a replica that is cut off says since when and why, and its lag grows with the clock', async () => {
    expect(await metric('ltxd_connected')).toBe(1)
    for (const proxy of proxies) proxy.cuts = { times: Infinity, afterBytes: 0 }
    const beyond = (lagMs: number) =>
      until(`a lag of ${lagMs} ms`, 60_000, async () => {
        const status = (await nodes.replica.status())?.cluster
        return status?.connected === false && (status.lagMs ?? 0) > lagMs && status
      })
    const first = await beyond(3_000)
    expect(first.disconnectedReason).toMatch(/./)
    const later = await beyond((first.lagMs ?? 0) + 2_000)
    expect(Math.abs((later.disconnectedAtMs ?? 0) - (first.disconnectedAtMs ?? 0))).toBeLessThan(1_000)
    await until('the lag on the mount', 60_000, async () => (await lag()) > 5_000)
    expect(await metric('ltxd_lag_seconds')).toBeGreaterThan(5)
    expect(await metric('ltxd_connected')).toBe(0)
    expect(await metric('ltxd_disconnected_seconds')).toBeGreaterThan(3)
    for (const proxy of proxies) proxy.cuts = { times: 0, afterBytes: 0 }
    await nodes.cluster.settled()
    await until('no lag', 60_000, async () => (await metric('ltxd_connected')) === 1 && (await lag()) < 2_000)
    expect((await nodes.replica.status())?.cluster).not.toHaveProperty('disconnectedAtMs')
  })

  test('a handoff to the primary itself, and one to nobody, are told apart', async () => {
    expect((await ask(nodes.primary, 'handoff', { node: nodes.primary.name })).text).toMatch(/is this node/)
    expect((await ask(nodes.primary, 'handoff', { node: 'node-9' })).text).toMatch(/no replica node-9/)
  })

  test('a node that has just been demoted is not ready before it has what the new primary has', async () => {
    const ready = async () => {
      const answer = await fetch(`${nodes.primary.url}/ready`)
      return `${answer.status} ${await answer.text()}`
    }
    expect(await ready()).toMatch(/^200/)
    const way = proxies[1]
    if (way !== undefined) way.cuts = { times: Infinity, afterBytes: 0 }
    expect(await ask(nodes.primary, 'handoff', { node: nodes.replica.name })).toMatchObject({ status: 200 })
    expect(await ready()).toMatch(/^503 .*(no primary is known|replica of node-2, not connected)/)
    if (way !== undefined) way.cuts = { times: 0, afterBytes: 0 }
    await until('a node that is ready again', 60_000, async () => (await ready()).startsWith('200'))
    expect(handoffWarnings(await readFile(`${nodes.cluster.dir}/node-1.log`, 'utf8'))).toEqual([])
  })

  test('while Consul is away, promote fails, says why, and the primary still leads', async () => {
    const [leads, follows] = [nodes.replica, nodes.primary]
    await nodes.cluster.consul.kill()
    const { status, text } = await ask(follows, 'promote', {})
    expect(status).toBe(409)
    expect(text).toMatch(/the lease cannot be passed on now: .*Consul/)
    expect((await leads.status())?.role).toBe('primary')
    await nodes.open(leads, 'app.db').exec('INSERT INTO t VALUES (2)')
    await nodes.same()
  })
})
