import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { program } from '../cli/run.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

let base: string
let node: LtxdNode | undefined
beforeEach(() => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-failed-log-'))
})
afterEach(async () => {
  await node?.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

/** In each thread of the node: an fsync below a log's directory fails while the file `broken` exists. */
const DISK = `
import fs from 'node:fs'
const fails = (fd) => fs.existsSync(process.env.BROKEN) && fs.readlinkSync('/proc/self/fd/' + fd).includes('.ltx/')
const error = () => Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO', errno: -5, syscall: 'fsync' })
const { fsyncSync, fdatasync } = fs
fs.fsyncSync = (fd) => {
  if (fails(fd)) throw error()
  fsyncSync(fd)
}
fs.fdatasync = (fd, done) => (fails(fd) ? setImmediate(done, error()) : fdatasync(fd, done))
`

async function start(): Promise<{ mount: string; get: (path: string) => Promise<{ status: number; text: string }> }> {
  fs.writeFileSync(`${base}/disk.mjs`, DISK)
  const run = `#!/bin/sh\nBROKEN=${base}/broken exec ${process.execPath} --import ${base}/disk.mjs "$@"\n`
  fs.writeFileSync(`${base}/node`, run, { mode: 0o755 })
  const mount = `${base}/mount`
  node = LtxdNode.start({ mount, data: `${base}/data`, logFile: `${base}/log`, node: `${base}/node` })
  await node.mounted()
  await until('the API', 60_000, () => fs.existsSync(`${base}/data/api.json`))
  const { url } = JSON.parse(fs.readFileSync(`${base}/data/api.json`, 'utf8')) as { url: string }
  return {
    mount,
    async get(path) {
      const response = await fetch(url + path)
      return { status: response.status, text: await response.text() }
    },
  }
}

const sqlite = (file: string, sql: string) => program('sqlite3', [file, sql])

/** Of one database at a time, or of two: then another thread waits for the disk. */
test.each([1, 2])(
  'a primary whose log cannot be made durable says so, and is well again by itself, with %i databases',
  async (count) => {
    const { mount, get } = await start()
    const names = Array.from({ length: count }, (_, i) => `${i}.db`)
    const all = (sql: string) => Promise.all(names.map((name) => sqlite(`${mount}/${name}`, sql)))
    const begin = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t(x); INSERT INTO t VALUES (1)'
    for (const { code } of await all(begin)) expect(code).toBe(0)
    expect((await get('/ready')).status).toBe(200)

    fs.writeFileSync(`${base}/broken`, '')
    const insert = 'PRAGMA synchronous = FULL; INSERT INTO t VALUES (2)'
    for (const { code } of await all(insert)) expect(code, 'nothing that is not durable is acknowledged').not.toBe(0)
    const reason = /could not be made durable \(EIO/
    await until('readiness', 60_000, async () => (await get('/ready')).status === 503)
    expect((await get('/ready')).text).toMatch(reason)
    const { databases } = JSON.parse((await get('/status')).text) as { databases: { name: string; failure?: string }[] }
    expect(databases.map(({ failure }) => failure)).toEqual(names.map(() => expect.stringMatching(reason) as string))
    expect((await get('/metrics')).text).toContain(`ltxd_failing_databases ${count}\n`)

    fs.rmSync(`${base}/broken`)
    await until('readiness', 60_000, async () => (await get('/ready')).status === 200)
    expect((await get('/metrics')).text).toContain('ltxd_failing_databases 0\n')
    for (const { code } of await all(insert)) expect(code).toBe(0)
    expect((await node?.stop())?.code).toBe(0)
  },
)
