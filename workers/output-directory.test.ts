import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { uploadTransactions } from '../src/backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../src/backup/testing.ts'
import { EMPTY_CHECKSUM, formatChecksum, toTXID } from '../src/ltx/format/types.ts'
import { MemoryStore } from '../src/objectstore/stores/memory.ts'
import { effort, SEED } from '../test/harness/effort.ts'
import { Random } from '../test/harness/random.ts'
import { isPassing } from './outcome.ts'
import { parsePayload } from './payloads.ts'
import { restore } from './processors/restore.ts'

const TRIES = effort(300, 10_000)

let parent: string
let root: string
let outside: string
const store = new MemoryStore()
const played = new PlayedDatabase('a.db', seeded(SEED))
played.commit(3)
const nothing = { txid: toTXID(0), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 0, commit: 0 }
await uploadTransactions(store, 'a.db', played, nothing, played.position().txid)

beforeEach(() => {
  parent = fs.mkdtempSync(join(tmpdir(), 'ltxd-output-'))
  root = join(parent, 'out')
  outside = join(parent, 'outside')
  fs.mkdirSync(root)
  fs.mkdirSync(outside)
})

afterEach(() => fs.rmSync(parent, { recursive: true, force: true }))

/** As a worker does it. */
function restoreTo(path: string) {
  const payload = parsePayload('restore', { backup: 'backup', database: 'a.db', output: { path } })
  return restore(payload, {
    store,
    openStore: () => store,
    outputDir: root,
    signal: new AbortController().signal,
    progress: () => undefined,
    nowMs: Date.now,
    pin: async () => undefined,
  })
}

const image = () => played.states.get(played.position().txid)!

test('a restored file lies where the job says, for the worker’s user alone', async () => {
  const checksum = formatChecksum(played.checksums.get(played.position().txid)!)
  for (const path of ['a.db', 'deep/er/./b.db', 'x/../c.db']) {
    expect(await restoreTo(path)).toMatchObject({ checksum, output: path })
    expect((await readFile(join(root, path))).equals(image())).toBe(true)
    expect(fs.statSync(join(root, path)).mode & 0o777).toBe(0o600)
    // The same job once more finds its own output.
    expect(await restoreTo(path)).toMatchObject({ checksum, verified: true })
  }
})

test('the output directory itself may be a link, and is made', async () => {
  const real = join(parent, 'real')
  fs.rmdirSync(root)
  fs.mkdirSync(real)
  fs.symlinkSync(real, root)
  await restoreTo('a.db')
  fs.unlinkSync(root)
  fs.rmdirSync(outside)
  root = join(outside, 'new')
  await restoreTo('a.db')
  expect(fs.readdirSync(real)).toEqual(['a.db'])
  expect(fs.readdirSync(root)).toEqual(['a.db'])
})

test.each([
  ['link/a.db', 'link', '../outside'],
  ['link/deep/a.db', 'link', '../outside'],
  ['sub/link/a.db', 'sub/link', '../../outside'],
  ['a.db', 'a.db', '../outside/a.db'],
  ['a.db', 'a.db', '../outside'],
  ['link/a.db', 'link', 'sub'],
])('nothing is written to %s through the link %s -> %s', async (path, link, target) => {
  fs.mkdirSync(join(root, 'sub'))
  fs.symlinkSync(target, join(root, link))
  const failure: unknown = await restoreTo(path).catch((error: unknown) => error)
  expect(String(failure)).toMatch(/symbolic link/)
  expect(isPassing(failure)).toBe(false)
  expect(fs.readdirSync(outside)).toEqual([])
  expect(fs.readlinkSync(join(root, link))).toBe(target)
})

test('what is no regular file is left as it is, and nothing waits for it', async () => {
  fs.mkdirSync(join(root, 'directory'))
  execFileSync('mkfifo', [join(root, 'pipe')])
  for (const path of ['directory', 'pipe']) {
    const failure: unknown = await restoreTo(path).catch((error: unknown) => error)
    expect(String(failure)).toContain(`${join(root, path)} exists already`)
  }
})

test(`a directory that is swapped for a link at any moment leads nowhere else (LTXD_SEED=${SEED})`, async () => {
  const sub = join(root, 'sub')
  fs.mkdirSync(sub)
  let swapping = true
  const random = new Random(SEED)
  const aWhile = async () => {
    for (let i = random.integer(1, 4); i > 0; i--) await setImmediate()
  }
  const swapper = (async () => {
    while (swapping) {
      fs.renameSync(sub, join(root, 'away'))
      fs.symlinkSync('../outside', sub)
      await aWhile()
      fs.unlinkSync(sub)
      fs.renameSync(join(root, 'away'), sub)
      await aWhile()
    }
  })()
  let done = 0
  for (let i = 0; i < TRIES; i++) {
    await aWhile()
    await restoreTo(`sub/${i}.db`).then(
      () => done++,
      (error: unknown) => expect(String(error)).toMatch(/symbolic link|cannot write/),
    )
  }
  swapping = false
  await swapper
  expect(fs.readdirSync(outside)).toEqual([])
  expect(fs.readdirSync(sub)).toHaveLength(done)
  expect(done).toBeGreaterThan(0)
})
