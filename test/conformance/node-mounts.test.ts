/** The mount of a node that dies, or whose mount someone else removes. Holds for every driver. */

import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { isMounted, mountsBelow } from '../harness/mounts.ts'
import { within } from '../harness/wait.ts'
import { IS_ROOT, run } from './served.ts'

let directory: string
let mount: string
let nodes: LtxdNode[]

beforeEach(async () => {
  directory = await fs.realpath(await fs.mkdtemp(path.join(tmpdir(), 'ltxd-node-mounts-')))
  mount = path.join(directory, 'mnt')
  nodes = []
})
afterEach(async () => {
  for (const node of nodes) await node.destroy()
  await fs.rm(directory, { recursive: true, force: true })
})

async function start(): Promise<LtxdNode> {
  const node = LtxdNode.start({ mount, data: path.join(directory, 'data'), logFile: path.join(directory, 'log') })
  nodes.push(node)
  await node.mounted()
  return node
}

const query = (statement: string) => run('sqlite3', path.join(mount, 'a.db'), statement)

it('the mount of a killed node is cleared by the next node, which has every commit', async () => {
  const node = await start()
  await query('pragma journal_mode = wal; create table t(x); insert into t values (1)')
  await node.kill()
  expect(isMounted(mount)).toBe(true)
  await start()
  expect(nodes[1]?.logTail()).toContain('removed the mount of a node that had died')
  expect(await query('insert into t values (2) returning (select count(*) from t)')).toMatch(/^[12]$/)
  expect(await query('select group_concat(x) from t')).toBe('1,2')
})

it('a lazy unmount by someone else ends the node with a message, and open files return errors', async () => {
  const node = await start()
  await query('create table t(x)')
  const open = await fs.open(path.join(mount, 'a.db'), 'r+')
  await (IS_ROOT ? run('umount', '-l', mount) : run('fusermount3', '-u', '-z', '--', mount))
  expect(await within('end of the node', 60_000, node.exited)).toEqual({ code: 1, signal: null })
  expect(node.logTail()).toMatch(/mnt was unmounted by someone else: the node ends/)
  await expect(open.write('x')).rejects.toThrow(/ENOTCONN|ECONNABORTED|EIO/)
  await open.close().catch(() => undefined)
  await start()
  expect(await query('select count(*) from t')).toBe('0')
})

it('a mount that moves with a directory above it ends the node, which unmounts it where it is', async () => {
  const above = path.join(directory, 'above')
  mount = path.join(above, 'mnt')
  const node = await start()
  await query('create table t(x)')
  await fs.rename(above, path.join(directory, 'moved'))
  await fs.mkdir(mount, { recursive: true })
  expect(await within('end of the node', 60_000, node.exited)).toEqual({ code: 1, signal: null })
  expect(node.logTail()).toMatch(/mnt was unmounted by someone else: the node ends/)
  expect(mountsBelow(directory)).toEqual([])
  await start()
  expect(await query('select count(*) from t')).toBe('0')
})

it('the source of the mount names the node, and is no path', async () => {
  await start()
  const identity = JSON.parse(await fs.readFile(path.join(directory, 'data', 'node.json'), 'utf8')) as { id: string }
  expect(await run('findmnt', '-no', 'SOURCE,FSTYPE', mount)).toBe(`ltxd:${identity.id} fuse.ltxd`)
})
