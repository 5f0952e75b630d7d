import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Source } from '../../apply/testing.ts'
import { formatPosition } from '../../ltx/format/types.ts'
import { filesBeneath } from '../../util/files-beneath.ts'
import { LocalClient } from './client.ts'
import type { FromClient } from './messages.ts'

const NOTHING = new Uint8Array(0)

function setUp(mode: string) {
  const dir = mkdtempSync(join(tmpdir(), 'ltxd-turns-'))
  const large = new Source(join(dir, 'large.source'))
  const small = new Source(join(dir, 'small.source'))
  for (const source of [large, small]) source.commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t(a, b)`)
  large.commit(
    'INSERT INTO t SELECT value, randomblob(1000000) FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c LIMIT 24) SELECT value FROM c)',
  )
  for (let i = 0; i < 5; i++) small.commit(`INSERT INTO t VALUES (${i}, 0)`)
  const said: FromClient[] = []
  const client = new LocalClient(
    filesBeneath(dir),
    filesBeneath(dir),
    () => undefined,
    (message) => said.push(message),
  )
  onTestFinished(() => {
    client.close()
    for (const source of [large, small]) source.close()
    rmSync(dir, { recursive: true })
  })
  const file = join(dir, 'large.ltx')
  writeFileSync(file, large.states[1]?.ltx ?? NOTHING)
  for (const database of ['large.db', 'small.db']) client.enqueue({ type: 'open', database, positions: [] }, NOTHING)
  client.enqueue({ type: 'apply', database: 'large.db' }, large.states[0]?.ltx ?? NOTHING)
  client.complete()
  const position = formatPosition(large.states[1]!.position)
  const isApplied = () => said.some((message) => message.type === 'applied' && message.position === position)
  return { dir, client, said, small, file, isApplied }
}

test.each(['wal', 'delete'])(
  'transactions of other databases are applied while a large one is, in %s mode',
  async (mode) => {
    const { dir, client, said, small, file, isApplied } = setUp(mode)
    client.enqueue({ type: 'apply', database: 'large.db', file }, NOTHING)
    client.work()
    for (const { ltx } of small.states) client.enqueue({ type: 'apply', database: 'small.db' }, ltx)
    client.work()
    await vi.waitUntil(() => said.some((message) => message.type === 'applied' && message.database === 'small.db'))
    expect(isApplied(), 'the large transaction goes on').toBe(false)
    await vi.waitUntil(isApplied, { timeout: 120_000 })
    const reader = new Sqlite(join(dir, 'large.db'))
    expect(reader.prepare('SELECT count(*) FROM t').pluck().get()).toBe(24)
    expect(reader.pragma('integrity_check', { simple: true })).toBe('ok')
    reader.close()
  },
)

test('a client that must finish applies the rest of a large transaction at once', async () => {
  const { client, file, isApplied } = setUp('wal')
  client.enqueue({ type: 'apply', database: 'large.db', file }, NOTHING)
  client.work()
  expect(isApplied()).toBe(false)
  client.complete()
  expect(isApplied()).toBe(true)
})
