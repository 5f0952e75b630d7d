/** The behaviour of a node that only a mount of libfuse 2 has. drivers.ts runs the suite that all drivers pass. */

import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { isRunning, processTree, signalProcess } from '../harness/processes.ts'
import { until, within } from '../harness/wait.ts'
import { run } from './served.ts'

describe('a node on fuse-native', () => {
  let directory: string
  let mount: string
  let nodes: LtxdNode[]
  beforeEach(async () => {
    directory = await fs.realpath(await fs.mkdtemp(path.join(tmpdir(), 'ltxd-fuse-native-')))
    mount = path.join(directory, 'mnt')
    nodes = []
  })
  afterEach(async () => {
    for (const node of nodes) await node.destroy()
    await fs.rm(directory, { recursive: true, force: true })
  })

  const data = () => path.join(directory, 'data')
  const query = (statement: string) => run('sqlite3', path.join(mount, 'a.db'), statement)

  function launch(...args: string[]): LtxdNode {
    const logFile = path.join(directory, 'log')
    const node = LtxdNode.start({ mount, data: data(), logFile, arguments: ['--driver', 'fuse-native', ...args] })
    nodes.push(node)
    return node
  }

  async function start(): Promise<LtxdNode> {
    const node = launch()
    await node.mounted()
    return node
  }

  /** The pid of the process that runs libfuse. */
  async function bridgeOf(node: LtxdNode): Promise<number> {
    for (const pid of processTree(node.pid)) {
      const command = await fs.readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
      if (command.trim() === 'ltxd-bridge') return pid
    }
    throw new Error('the node has no libfuse process')
  }

  it.each(['truncate', 'persist'])(
    'makes a database anew beside the journal that the former one left in mode %s',
    async (mode) => {
      await start()
      await query(`pragma journal_mode = ${mode}; create table t(x)`)
      await fs.unlink(path.join(mount, 'a.db'))
      expect(await query('create table t(x); insert into t values (1); select * from t')).toBe('1')
    },
  )

  it('captures every commit in WAL and rollback mode, and leaves plain files', async () => {
    const node = await start()
    await query('pragma journal_mode = wal; create table t(x); insert into t values (1)')
    await query('insert into t values (2); pragma journal_mode = delete; insert into t values (3)')
    expect(await run('cat', path.join(mount, 'a.db-pos'))).toMatch(/^0{15}[4-6]\/[0-9a-f]{16}$/)
    expect(await node.stop()).toEqual({ code: 0, signal: null })
    expect(await run('sqlite3', path.join(data(), 'files/a.db'), 'select group_concat(x) from t')).toBe('1,2,3')
    expect((await fs.readdir(path.join(data(), 'files'))).sort()).toEqual(['a.db'])
  })

  it('ends with a message when the libfuse process dies, and the next node has every commit', async () => {
    const node = await start()
    await query('pragma journal_mode = wal; create table t(x); insert into t values (1)')
    signalProcess(await bridgeOf(node), 'SIGKILL')
    expect(await within('end of the node', 60_000, node.exited)).toEqual({ code: 1, signal: null })
    expect(node.logTail()).toMatch(/the process of fuse-native ended with SIGKILL.*the node ends/)
    await start()
    expect(await query('insert into t values (2); select group_concat(x) from t')).toBe('1,2')
  })

  it('takes the libfuse process with it when killed', async () => {
    const node = await start()
    const bridge = await bridgeOf(node)
    await node.kill()
    await until('end of the bridge', 60_000, () => !isRunning(bridge))
  })

  it('is rejected in a cluster, with the key of the configuration', async () => {
    const node = launch('--consul', 'http://127.0.0.1:1')
    expect((await within('end of the node', 60_000, node.exited)).code).toBe(2)
    expect(node.logTail()).toMatch(/--driver: fuse\.driver: expected "direct" where lease is set/)
  })
})
