import { existsSync } from 'node:fs'
import { chmod, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { program } from '../cli/run.ts'
import { LTXD_CLI, LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'
import { modesBelow } from './modes.ts'

/** Who may write to a directory can put another in the place of one that is in it. */

let dir: string
let node: LtxdNode | undefined

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-made-')))
  await chmod(dir, 0o755)
})

afterEach(async () => {
  await node?.destroy()
  await rm(dir, { recursive: true, force: true })
})

test('with umask 000, every user may write to nothing that a node and the commands make', async () => {
  const shell = join(dir, 'with-umask')
  await writeFile(shell, `#!/bin/sh\numask 000\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 })
  const ltxd = (...args: string[]) => program(shell, [LTXD_CLI, ...args], { cwd: dir })
  const backup = `file://${dir}/a/a/backup`
  node = LtxdNode.start({
    ...{ mount: join(dir, 'b/b/mnt'), data: join(dir, 'c/c/data'), logFile: join(dir, 'log') },
    ...{ node: shell, backup },
  })
  await node.mounted()
  const made = await program('sqlite3', [join(dir, 'b/b/mnt/x.db'), 'create table t(x)'])
  expect(made).toMatchObject({ code: 0 })
  await until('an upload', 60_000, () => existsSync(join(dir, 'a/a/backup/x.db')))
  expect((await node.stop()).code).toBe(0)

  for (const args of [
    ['init'],
    ['restore', backup, 'x.db', '-o', 'd/d/x.db'],
    ['follow', backup, 'x.db', '-o', 'e/e/x.db', '--once'],
    ['ltx', 'encode-db', 'd/d/x.db', '-o', 'x.ltx'],
    ['ltx', 'apply', 'x.ltx', '--db', 'f/f/x.db'],
  ]) {
    expect(await ltxd(...args), args.join(' ')).toMatchObject({ code: 0 })
  }
  const found = modesBelow(dir)
  const open = Array.from(found).filter(([path, mode]) => /[2367]$/.test(mode) && !path.endsWith('/log'))
  expect(open).toEqual([])
  expect(found.get(join(dir, 'ltxd.yml'))).toBe('file 600')
  expect(found.get(join(dir, 'd/d'))).toBe('directory 775')
})
