/** One database whose backup cannot be read, on a node that is about to lead: the others are led. */

import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fetchStatus } from '../../src/api/client.ts'
import type { DatabaseStatus } from '../../src/api/status.ts'
import { loadHistory } from '../../src/backup/history/history.ts'
import { NEWEST } from '../../src/backup/history/plan.ts'
import { restoreDatabase } from '../../src/backup/restore/restore.ts'
import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { type Forged, ForgingProxy } from '../harness/forging-proxy.ts'
import { shorten } from '../harness/limits.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { freePort } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { bucketForTests } from './bucket.ts'
import { SqlClient } from './sql-client.ts'

shorten({ answerMs: 2_000, uploadMs: 4_000 })
const WAIT_MS = 60_000
const s3 = bucketForTests('withheld')
const { ends } = s3

class Machine {
  readonly mount: string
  readonly url: string
  node: LtxdNode
  readonly #options: LtxdNode['options'] & { readonly data: string }

  private constructor(options: LtxdNode['options'] & { readonly data: string }, http: string) {
    this.#options = options
    this.mount = options.mount
    this.url = `http://${http}`
    this.node = LtxdNode.start(options)
  }

  /** A fixed primary, or a node without peers. */
  static async start(backup: string, lease = 'lease: { type: static }\n'): Promise<Machine> {
    const dir = mkdtempSync(join(s3.root, 'machine-'))
    const http = `127.0.0.1:${await freePort()}`
    writeFileSync(join(dir, 'ltxd.yml'), `${lease}backup: { url: "${backup}", sync-interval: 100ms }\n`)
    const machine = new Machine(
      {
        ...{ mount: join(dir, 'mount'), data: join(dir, 'data'), logFile: join(dir, 'log'), http },
        arguments: ['--config', join(dir, 'ltxd.yml')],
      },
      http,
    )
    ends.push(() => machine.node.destroy())
    return machine
  }

  get data(): string {
    return this.#options.data
  }

  restart(): void {
    this.node = LtxdNode.start(this.#options)
  }

  async ready(): Promise<Record<string, unknown>> {
    return this.#until('a node that leads', async () => {
      const answer = await fetch(`${this.url}/ready`).catch(() => undefined)
      return answer?.status === 200 && ((await answer.json()) as Record<string, unknown>)
    })
  }

  async database(name: string): Promise<DatabaseStatus | undefined> {
    return (await fetchStatus(this.url)).databases.find((database) => database.name === name)
  }

  /** Waits until the database is led again. */
  served(name: string): Promise<DatabaseStatus> {
    return this.#until(`${name} that is led`, async () => {
      const database = await this.database(name)
      return database !== undefined && database.error === undefined && database
    })
  }

  shipped(name: string): Promise<DatabaseStatus> {
    return this.#until(`${name} that is shipped`, async () => {
      const database = await this.database(name)
      return database?.backup?.txid === database?.position.split('/')[0] && database
    })
  }

  sql(name: string): SqlClient {
    const client = new SqlClient(join(this.mount, name), { timeoutMs: 20_000 })
    ends.push(() => client.kill())
    return client
  }

  async #until<T>(what: string, condition: () => Promise<T | undefined | false>): Promise<T> {
    try {
      return await until(what, WAIT_MS, async () => {
        if (!this.node.running) throw new Error('the node ended')
        return condition()
      })
    } catch (error) {
      throw this.node.explain(error)
    }
  }
}

/** A machine that has shipped `rows` rows of both databases, one transaction each. */
async function written(backup: string, rows: number, lease?: string): Promise<Machine> {
  const machine = await Machine.start(backup, lease)
  await machine.ready()
  for (const name of ['a.db', 'b.db']) {
    const app = machine.sql(name)
    await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY)')
    for (let i = 0; i < rows; i++) await app.exec('INSERT INTO t DEFAULT VALUES')
    await app.close()
    await machine.shipped(name)
  }
  return machine
}

const count = (client: SqlClient) => client.value('SELECT count(*) FROM t')

/** In a process of its own: a mount that hangs hangs nothing else. */
const shell = (command: string, ...args: string[]) => {
  execFileSync('sh', ['-c', command, 'sh', ...args], { timeout: 20_000, stdio: 'ignore' })
}

const refused: Forged = {
  status: 500,
  headers: { 'content-type': 'application/xml' },
  body: '<?xml version="1.0"?><Error><Code>InternalError</Code><Message>no</Message></Error>',
}

test('a fresh node leads although one object is not given to it, names it, and gets that database when it is', async () => {
  const bucket = await s3.server.freshUrl('p')
  const first = await written(bucket, 5)
  await first.node.stop()
  const proxy = await ForgingProxy.start(s3.server.port)
  ends.push(() => proxy.stop())
  proxy.forge = ({ operation, url }) => (operation === 'Get' && url.includes('/a.db/') ? refused : undefined)
  const fresh = await Machine.start(bucket.replace(s3.server.endpoint, `http://127.0.0.1:${proxy.port}`))
  const { unserved } = await fresh.ready()
  expect(Object.keys(unserved as object)).toEqual(['a.db'])
  const b = fresh.sql('b.db')
  await b.exec('INSERT INTO t DEFAULT VALUES')
  expect(await count(b)).toBe(6)
  const key = /a\.db\/\S+\.ltx/
  expect((await fresh.database('a.db'))?.error).toMatch(key)
  // Nobody may take it for an empty database.
  await expect(fresh.sql('a.db').exec('CREATE TABLE t (id INTEGER PRIMARY KEY)')).rejects.toThrow()
  await expect(fresh.sql('a.db').exec('SELECT * FROM sqlite_schema')).rejects.toThrow()
  expect(() => shell('echo x > "$1"/a.db', fresh.mount)).toThrow()
  expect(() => shell('mv "$1"/b.db "$1"/a.db', fresh.mount)).toThrow()
  expect(() => shell('cp /bin/true "$1"/plain && mv "$1"/plain "$1"/a.db', fresh.mount)).toThrow()
  expect(await (await fetch(`${fresh.url}/metrics`)).text()).toMatch(/ltxd_db_up\{[^}]*a\.db[^}]*\} 0/)
  const lines = fresh.node.logLines((line) => line.includes('a.db')).join('\n')
  expect(lines).toMatch(key)
  proxy.forge = () => undefined
  await fresh.served('a.db')
  const a = fresh.sql('a.db')
  await a.exec('INSERT INTO t DEFAULT VALUES')
  expect(await count(a)).toBe(6)
  await fresh.shipped('a.db')
  expect(await (await fetch(`${fresh.url}/ready`)).json()).toEqual({ status: 'ready' })
})

test('a node that is behind leads although an object is damaged, serves the old state read-only, and catches up when the object is whole', async () => {
  const bucket = await s3.server.freshUrl('p')
  const machine = await written(bucket, 5)
  await machine.node.stop()
  const old = `${machine.data}-old`
  cpSync(machine.data, old, { recursive: true })
  machine.restart()
  await machine.ready()
  const at = BigInt(`0x${(await machine.database('a.db'))?.position.split('/')[0]}`)
  for (const name of ['a.db', 'b.db']) {
    const app = machine.sql(name)
    for (let i = 0; i < 5; i++) await app.exec('INSERT INTO t DEFAULT VALUES')
    await app.close()
    await machine.shipped(name)
  }
  await machine.node.stop()
  rmSync(machine.data, { recursive: true })
  cpSync(old, machine.data, { recursive: true })
  const store = openObjectStore(bucket)
  ends.push(() => store.close())
  const { files } = await loadHistory(store, 'a.db')
  const beyond = await Promise.all(files.filter(({ max }) => max > at).map(({ key }) => copyOf(store, key)))
  for (const { key, bytes, metadata } of beyond) {
    await store.put(
      key,
      bytes.map((byte, i) => (i === 150 ? byte ^ 1 : byte)),
      { metadata },
    )
  }
  machine.restart()
  const { unserved } = await machine.ready()
  expect(Object.keys(unserved as object)).toEqual(['a.db'])
  expect(await count(machine.sql('b.db'))).toBe(10)
  const reader = machine.sql('a.db')
  expect(await count(reader)).toBe(5)
  expect((await reader.errorOf('INSERT INTO t DEFAULT VALUES'))?.code).toMatch(/IOERR/)
  await until('the line about the rejected write', WAIT_MS, () => {
    const isIt = (line: string) => /a write was rejected.*object a\.db\/\S+ in s3:\S+ is damaged/.test(line)
    return machine.node.logLines(isIt).length > 0
  })
  expect((await loadHistory(store, 'a.db')).files.map(({ key }) => key)).toEqual(files.map(({ key }) => key))
  for (const { key, bytes, metadata } of beyond) await store.put(key, bytes, { metadata })
  await machine.served('a.db')
  expect(await count(reader)).toBe(10)
  await reader.exec('INSERT INTO t DEFAULT VALUES')
  await machine.shipped('a.db')
  const copy = join(s3.root, 'restored.db')
  await restoreDatabase(store, 'a.db', NEWEST, copy)
  expect(await count(new SqlClient(copy))).toBe(11)
  await machine.node.stop()
})

test('a node without peers serves a database that its store says nothing of, and ships it when it does', async () => {
  const bucket = await s3.server.freshUrl('p')
  const proxy = await ForgingProxy.start(s3.server.port)
  ends.push(() => proxy.stop())
  const machine = await written(bucket.replace(s3.server.endpoint, `http://127.0.0.1:${proxy.port}`), 5, '')
  await machine.node.stop()
  proxy.forge = ({ operation, url }) => (operation === 'Head' && url.includes('/a.db/') ? refused : undefined)
  machine.restart()
  await machine.ready()
  for (const name of ['a.db', 'b.db']) {
    const app = machine.sql(name)
    await app.exec('INSERT INTO t DEFAULT VALUES')
    expect(await count(app)).toBe(6)
  }
  expect(machine.node.logLines((line) => /a\.db.*not compared|not compared.*a\.db/.test(line))).toHaveLength(1)
  proxy.forge = () => undefined
  await machine.shipped('a.db')
})

async function copyOf(store: ObjectStore, key: string) {
  const chunks: Uint8Array[] = []
  for await (const chunk of await store.get(key)) chunks.push(new Uint8Array(chunk))
  const { metadata = {} } = (await store.head(key)) ?? {}
  return { key, bytes: new Uint8Array(Buffer.concat(chunks)), metadata }
}
