import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Source } from '../../src/apply/testing.ts'
import { uploadTransactions } from '../../src/backup/ship/upload.ts'
import { SourceLog } from '../../src/follow/testing.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { DirectoryStore } from '../../src/objectstore/directory/store.ts'
import { ltxd } from './run.ts'

const root = mkdtempSync(join(tmpdir(), 'ltxd-follow-cli-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('ltxd follow --once brings a file up to date and reports it; a node’s address and a bad interval are wrong usage', async () => {
  const source = new Source(join(root, 'source.db'))
  const store = new DirectoryStore(join(root, 'backup'))
  const log = new SourceLog('app.db', source)
  source.commit('PRAGMA journal_mode = wal; CREATE TABLE t (v)')
  const nothing = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
  const first = await uploadTransactions(store, 'app.db', log, nothing, log.position().txid)
  const url = `file://${join(root, 'backup')}`
  const copy = join(root, 'copy.db')
  const follow = (...options: string[]) => ltxd(['follow', url, 'app.db', '-o', copy, '--once', ...options])
  const restored = await follow()
  expect(restored).toMatchObject({ code: 0, stderr: '' })
  expect(restored.stdout).toMatch(/^restored as of transaction 0000000000000001: .*\nfollowing .*\nstopped /)
  source.commit('INSERT INTO t VALUES (1)')
  await uploadTransactions(store, 'app.db', log, first, log.position().txid)
  const applied = await follow('--json')
  const events = applied.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string; from?: string })
  expect(events.map(({ event }) => event)).toEqual(['following', 'applied', 'stopped'])
  expect(events[1]).toMatchObject({ from: '0000000000000002', pages: 1, level: 0 })
  expect(await ltxd(['follow', 'http://127.0.0.1:20202', 'app.db', '-o', copy])).toMatchObject({ code: 2 })
  expect(await follow('--interval', 'soon')).toMatchObject({ code: 2 })
  writeFileSync(join(root, 'mine.db'), 'mine')
  const strange = await ltxd(['follow', url, 'app.db', '-o', join(root, 'mine.db')])
  expect(strange).toMatchObject({ code: 1 })
  expect(strange.stderr).toMatch(/was not made by "ltxd follow"/)
  const before = readdirSync(root).sort()
  expect(await ltxd(['follow', url, 'none.db', '-o', join(root, 'none.db')])).toMatchObject({ code: 1 })
  expect(readdirSync(root).sort(), 'a failed follow leaves nothing').toEqual(before)
  source.close()
})
