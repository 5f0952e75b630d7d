/** A machine without data starts while its bucket gives no true answer. */

import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fetchStatus } from '../../src/api/client.ts'
import { type UploadState, uploadTransactions } from '../../src/backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../../src/backup/testing.ts'
import { formatPosition, toTXID } from '../../src/ltx/format/types.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { SEED } from '../harness/effort.ts'
import { type Forged, ForgingProxy, LOGIN_PAGE } from '../harness/forging-proxy.ts'
import { shorten } from '../harness/limits.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { freePort } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { bucketForTests } from './bucket.ts'

shorten({ answerMs: 4_000, uploadMs: 4_000 })
const START: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
const s3 = bucketForTests('empty-boot')
const { ends } = s3

const s3Error = (status: number, code: string): Forged => ({
  status,
  headers: { 'content-type': 'application/xml' },
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`,
})

async function start(name: string, config: string): Promise<{ node: LtxdNode; url: string }> {
  const dir = mkdtempSync(join(s3.root, `${name}-`))
  writeFileSync(join(dir, 'ltxd.yml'), config)
  const http = `127.0.0.1:${await freePort()}`
  const node = LtxdNode.start({
    ...{ mount: join(dir, 'mount'), data: join(dir, 'data'), logFile: join(dir, 'log'), http },
    arguments: ['--config', join(dir, 'ltxd.yml')],
  })
  ends.push(() => node.destroy())
  return { node, url: `http://${http}` }
}

const isReady = async (url: string) => {
  return (await fetch(`${url}/ready`).catch(() => undefined))?.status === 200
}

const ready = async ({ node, url }: { node: LtxdNode; url: string }) => {
  await until('a node that is ready', 60_000, async () => {
    if (!node.running) throw node.explain(new Error('the node ended'))
    return isReady(url)
  }).catch((error: unknown) => {
    throw node.explain(error)
  })
}

/** A bucket with these databases. Returns its URL, and the positions. */
async function backedUp(...names: string[]): Promise<{ bucket: string; positions: ReadonlyMap<string, string> }> {
  const bucket = await s3.server.freshUrl('p')
  const store = openObjectStore(bucket)
  const positions = new Map<string, string>()
  for (const name of names) {
    const database = new PlayedDatabase(name, seeded(SEED))
    database.commit(3)
    if (name.includes('dropped')) database.drop()
    const position = database.position()
    await uploadTransactions(store, name, database, START, position.txid, { term: 1n })
    if (!name.includes('dropped')) positions.set(name, formatPosition(position))
  }
  await store.close()
  return { bucket, positions }
}

const serves = async ({ url }: { url: string }) => {
  return new Map((await fetchStatus(url)).databases.map(({ name, position }) => [name, position]))
}

test.each<[string, Forged, RegExp]>([
  ['rejects it', s3Error(403, 'AccessDenied'), /could not take over: .*AccessDenied.*allow these credentials/],
  ['is a login page', LOGIN_PAGE, /could not take over: .*a web page with status 200; check the endpoint/],
])(
  'a fixed primary without data does not lead while its bucket %s, and has all databases afterwards',
  async (_, forged, said) => {
    const { bucket, positions } = await backedUp('a.db', 'b.db')
    const proxy = await ForgingProxy.start(s3.server.port)
    ends.push(() => proxy.stop())
    let listings = 0
    proxy.forge = ({ operation }) => {
      if (operation === 'List') listings++
      return forged
    }
    const through = bucket.replace(s3.server.endpoint, `http://127.0.0.1:${proxy.port}`)
    const fresh = await start('fresh', `lease: { type: static, demote-delay: 1s }\nbackup: { url: "${through}" }\n`)
    // One at the start. The first failed attempt to lead takes the lease and releases it; the second one finds that.
    await until('three attempts to lead', 60_000, () => listings >= 1 + 3)
    expect(await isReady(fresh.url)).toBe(false)
    expect((await fetchStatus(fresh.url)).role).not.toBe('primary')
    const lines = fresh.node.logLines((line) => /could not take over|leading again/.test(line)).join('\n')
    expect(lines).toMatch(said)
    expect(lines).not.toMatch(/leading again/)
    proxy.forge = () => undefined
    await ready(fresh)
    expect(await serves(fresh)).toEqual(positions)
  },
)

test('a fixed primary without data leads although a database was dropped in its backup', async () => {
  const { bucket, positions } = await backedUp('a.db', 'dropped.db')
  const fresh = await start('fresh', `lease: { type: static }\nbackup: { url: "${bucket}" }\n`)
  await ready(fresh)
  expect(await serves(fresh)).toEqual(positions)
})
