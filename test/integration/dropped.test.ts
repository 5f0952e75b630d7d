import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ltxd } from '../cli/run.ts'
import { Application } from '../harness/application.ts'
import { effort, HANG_MS } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

const NAMES = effort(40, 20_000)

/** A node, with a backup if wanted, and an application. */
async function setUp(withBackup: boolean) {
  const base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-dropped-'))
  onTestFinished(() => fs.rmSync(base, { recursive: true, force: true }))
  const [mount, data] = [`${base}/mount`, `${base}/data`]
  const backup = withBackup ? { backup: `file://${base}/backup` } : {}
  const start = async () => {
    const node = LtxdNode.start({ mount, data, logFile: `${base}/log`, ...backup })
    onTestFinished(() => node.destroy())
    await node.mounted()
    return node
  }
  const application = new Application()
  onTestFinished(() => application.kill())
  const write = async (name: string, text: string) => {
    await application.open(name, `${mount}/${name}`)
    await application.sql(name, 'CREATE TABLE IF NOT EXISTS t(x)')
    await application.sql(name, `INSERT INTO t VALUES ('${text}')`)
    await application.close(name)
  }
  const remove = (name: string) => application.remove(`${mount}/${name}`)
  const logOf = (name: string) => fs.readdirSync(`${data}/log/${name}.ltx`)
  /** Drops it, and waits until only the position of the drop remains. */
  const drop = async (name: string) => {
    await remove(name)
    await until(`the log of ${name} to shrink`, 60_000, () => logOf(name).join() === 'base.json')
    return (JSON.parse(fs.readFileSync(`${data}/log/${name}.ltx/base.json`, 'utf8')) as { position: string }).position
  }
  return { base, mount, data, start, write, remove, drop, logOf, application }
}

test('a dropped database leaves its position alone; the name goes on after a restart, and the backup keeps both lives', async () => {
  const { base, mount, start, write, drop, application } = await setUp(true)
  let node = await start()
  await write('a.db', 'first')
  await write('a.db', 'first')
  const dropped = await drop('a.db')
  await node.stop()
  node = await start()
  expect(node.logTail()).not.toMatch(/not served|restored from the backup/)
  await write('a.db', 'second')
  const txid = fs.readFileSync(`${mount}/a.db-pos`, 'utf8').slice(0, 16)
  expect(BigInt(`0x${txid}`)).toBeGreaterThan(BigInt(`0x${dropped.slice(0, 16)}`))
  const again = await drop('a.db')
  await write('a.db', 'third')
  await node.stop()
  const before = (position: string) => (BigInt(`0x${position.slice(0, 16)}`) - 1n).toString(16).padStart(16, '0')
  const lives = [
    ['first', 'first', ['--txid', before(dropped)]],
    ['second', 'second', ['--txid', before(again)]],
    ['third', 'third', []],
  ] as const
  for (const [file, text, at] of lives) {
    const { code, stderr } = await ltxd(['restore', `file://${base}/backup`, 'a.db', '-o', `${base}/${file}`, ...at])
    expect(code, stderr).toBe(0)
    await application.open(file, `${base}/${file}`)
    expect(await application.sql(file, 'SELECT max(x) FROM t')).toEqual([[text]])
  }
  expect((await ltxd(['backup', 'verify', `file://${base}/backup`])).code).toBe(0)
})

test(`a node takes any number of names, one after another (NAMES=${NAMES})`, { timeout: HANG_MS * 12 }, async () => {
  const { data, start, write, remove, drop, logOf } = await setUp(false)
  const node = await start()
  await write('stays.db', 'here')
  for (let i = 0; i < NAMES; i++) {
    await write(`${i}.db`, 'x')
    await remove(`${i}.db`)
  }
  await write('new.db', 'x')
  await until('all logs to shrink', HANG_MS, () => logOf(`${NAMES - 1}.db`).join() === 'base.json')
  for (let i = 0; i < NAMES; i++) expect(logOf(`${i}.db`)).toEqual(['base.json'])
  await drop('new.db')
  const startedMs = performance.now()
  await node.stop()
  await start()
  console.log(`stop and start with ${NAMES} dropped databases: ${Math.round(performance.now() - startedMs)} ms`)
  expect(JSON.parse((await ltxd(['status', '--data', data, '--json'])).stdout)).toMatchObject({
    databases: [{ name: 'stays.db' }],
  })
})
