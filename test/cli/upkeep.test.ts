import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadHistory } from '../../src/backup/history/history.ts'
import { restorablePoints } from '../../src/backup/history/plan.ts'
import { type UploadState, uploadTransactions } from '../../src/backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../../src/backup/testing.ts'
import { EMPTY_CHECKSUM, formatTXID, toTXID } from '../../src/ltx/format/types.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { SEED } from '../harness/effort.ts'
import { ltxd } from './run.ts'

/** The upkeep of a backup by commands, without a node or a queue. */

const NAME = 'tenants/a b.db'
let dir: string
let url: string
let played: PlayedDatabase

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ltxd-upkeep-'))
  url = `file://${dir}/backup`
  played = new PlayedDatabase(NAME, seeded(SEED))
  const store = openObjectStore(url)
  let state: UploadState = { txid: toTXID(0), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 0, commit: 0 }
  for (let round = 0; round < 5; round++) {
    played.nowMs = Date.now() - 3_600_000 + round * 60_000
    played.commit(4)
    state = await uploadTransactions(store, NAME, played, state, played.position().txid)
  }
  await store.close()
})

afterAll(() => rm(dir, { recursive: true }))

const run = (...args: string[]) => ltxd(args, { cwd: dir })
const files = async (level: number) =>
  (await loadHistory(openObjectStore(url), NAME)).files.filter((file) => file.level === level)

test(`compact makes the configured levels; a second run has nothing to do (LTXD_SEED=${SEED})`, async () => {
  const first = await run('compact', url, NAME, '--json')
  expect(first.stderr).toBe('')
  const written = (JSON.parse(first.stdout) as { written: unknown[] }).written
  expect(written).toEqual(
    [1, 2, 3].map((level) => ({ level, min: formatTXID(toTXID(1)), max: formatTXID(toTXID(20)) })),
  )
  expect(await run('compact', url, NAME)).toMatchObject({ code: 0, stdout: `${NAME}: every level is up to date\n` })
  const four = await run('compact', url, NAME, '--level', '4')
  expect(four.stdout).toBe(`${NAME}: level 4: ${formatTXID(toTXID(1))} to ${formatTXID(toTXID(20))}\n`)
})

test('snapshot merges all files into one; a second run has nothing to do', async () => {
  const made = await run('snapshot', url, NAME)
  expect(made).toMatchObject({ code: 0, stdout: `${NAME}: snapshot as of transaction ${formatTXID(toTXID(20))}\n` })
  const again = JSON.parse((await run('snapshot', url, NAME, '--json')).stdout) as object
  expect(again).toMatchObject({ outcome: 'current', file: null })
})

test('prune --dry-run lists the files that prune then deletes, and the newest state stays restorable', async () => {
  const before = await files(0)
  const policy = ['--snapshot-retention', '1s', '--level0-retention', '1m']
  const dry = await run('backup', 'prune', url, NAME, ...policy, '--dry-run', '--json')
  expect(dry.stderr).toBe('')
  const plan = (JSON.parse(dry.stdout) as { databases: { files: { key: string }[] }[] }).databases[0]?.files ?? []
  expect(plan.length).toBeGreaterThan(0)
  expect(await files(0)).toEqual(before)

  const wet = await run('backup', 'prune', url, ...policy)
  expect(wet).toMatchObject({ code: 0, stdout: expect.stringContaining(`deleted ${plan.length} files`) as string })
  const left = await loadHistory(openObjectStore(url), NAME)
  expect(left.files.filter(({ key }) => plan.some((gone) => gone.key === key))).toEqual([])
  expect(restorablePoints(left)).toContain(20n)
  const out = join(dir, 'restored.db')
  expect(await run('restore', url, NAME, '-o', out)).toMatchObject({ code: 0 })
  expect((await readFile(out)).equals(played.states.get(toTXID(20))!)).toBe(true)
})

test('wrong usage is named, and nothing is done', async () => {
  const expectations: [string[], number, RegExp][] = [
    [['compact', url, 'nope.db'], 1, /has no backup of database nope\.db: it holds tenants\/a b\.db/],
    [['snapshot', url, 'nope.db'], 1, /has no backup of database nope\.db/],
    [['backup', 'prune', url, 'nope.db'], 1, /has no backup of database nope\.db/],
    [['compact', url, NAME, '--level', '9'], 2, /expected a level from 1 to 8/],
    [['compact', 'ftp://x/y', NAME], 2, /URL: backup\.url: scheme "ftp:" is not known|not supported/],
    [['backup', 'prune', url, '--snapshot-retention', 'soon'], 2, /--snapshot-retention: .*"soon" is not a duration/],
  ]
  for (const [args, code, stderr] of expectations) {
    expect(await run(...args), args.join(' ')).toMatchObject({ code, stderr: expect.stringMatching(stderr) as string })
  }
})

test('compact uses the levels of the configuration', async () => {
  await writeFile(join(dir, 'ltxd.yml'), 'backup:\n  levels: [10s]\n')
  const store = openObjectStore(url)
  const state = {
    txid: toTXID(20),
    checksum: played.checksums.get(toTXID(20)),
    timestampMs: 0,
    pageSize: 512,
    commit: 1,
  }
  played.commit()
  await uploadTransactions(store, NAME, played, state, played.position().txid)
  const { stdout } = await run('compact', url, NAME)
  expect(stdout).toBe(`${NAME}: level 1: ${formatTXID(toTXID(21))} to ${formatTXID(toTXID(21))}\n`)
  await rm(join(dir, 'ltxd.yml'))
})
