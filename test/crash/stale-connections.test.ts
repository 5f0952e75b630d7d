import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Application } from '../harness/application.ts'
import { DRIVER } from '../harness/driver.ts'
import { HANG_MS } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'

const ROWS = 3
const SINCE = 5

/** A node with a database, and an application that has it open from before a restart. */
async function restarted(mode: string, how: 'stop' | 'kill', argument?: string) {
  const base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-stale-'))
  const options = { mount: join(base, 'mount'), data: join(base, 'data'), logFile: join(base, 'log') }
  const nodes = [LtxdNode.start(options)]
  const [old, fresh] = [new Application(), new Application()]
  onTestFinished(async () => {
    old.kill()
    fresh.kill()
    for (const node of nodes) await node.destroy()
    rmSync(base, { recursive: true, force: true })
  })
  const [first] = nodes as [LtxdNode]
  await first.mounted()
  const file = join(options.mount, 'app.db')
  await old.open('old', file)
  await old.sql('old', `PRAGMA journal_mode = ${mode}`)
  await old.sql('old', 'CREATE TABLE t (a, b)')
  for (let i = 0; i < ROWS; i++) await old.sql('old', `INSERT INTO t VALUES (${i}, randomblob(3000))`)
  await old.sql('old', 'SELECT count(*) FROM t')
  await (how === 'stop' ? first.stop() : first.kill())
  const second = LtxdNode.start({ ...options, arguments: argument === undefined ? [] : [argument] })
  nodes.push(second)
  await second.mounted()
  await fresh.open('fresh', file)
  for (let i = 0; i < SINCE; i++) await fresh.sql('fresh', `INSERT INTO t VALUES (${100 + i}, randomblob(3000))`)
  return { old, fresh, file, node: second }
}

/** What a connection opened now sees. */
async function seen(application: Application, file: string): Promise<unknown> {
  await application.open('now', file)
  const rows = await application.sql('now', 'SELECT count(*) FROM t')
  const check = await application.sql('now', 'PRAGMA integrity_check')
  await application.close('now')
  return [rows, check]
}

describe('a connection from before a restart of the node', () => {
  test.each([
    ['DELETE', 'kill', 'writes'],
    ['DELETE', 'stop', 'writes'],
    ['WAL', 'kill', 'closes'],
    ['WAL', 'stop', 'writes'],
  ] as const)(
    'takes back nothing that others have committed since (%s, %s, then it %s)',
    async (mode, how, act) => {
      const { old, fresh, file } = await restarted(mode, how)
      const wrote = act === 'writes' && (await old.tried('old', 'INSERT INTO t VALUES (5, 0)')) === undefined
      if (act === 'closes') await old.close('old').catch(() => undefined)
      expect(wrote).toBe(false)
      expect(await seen(fresh, file)).toEqual([[[ROWS + SINCE]], [['ok']]])
      expect(await fresh.tried('fresh', 'INSERT INTO t VALUES (500, 0)')).toBeUndefined()
      expect(await seen(fresh, file)).toEqual([[[ROWS + SINCE + 1]], [['ok']]])
    },
    HANG_MS,
  )

  // Through libfuse nobody can take back what the kernel has cached.
  test.skipIf(DRIVER !== 'direct').each(['DELETE', 'WAL'])(
    'reads nothing old without an error after a clean stop (%s)',
    async (mode) => {
      const { old } = await restarted(mode, 'stop')
      expect(await old.tried('old', 'SELECT count(*) FROM t')).toBeDefined()
    },
    HANG_MS,
  )

  test.skipIf(DRIVER !== 'direct')(
    'is named at the start after a crash, by process and file',
    async () => {
      const { node } = await restarted('DELETE', 'kill')
      expect(node.logTail(50)).toMatch(/a program has files of a node open that died.*python3.*app\.db/)
    },
    HANG_MS,
  )
})
