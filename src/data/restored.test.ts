import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { type CrashPoint, crashPointFiles, leaveCrashed } from '../../test/harness/in-process/crash-point-files.ts'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { createLog, logDirectory, readBase } from '../log/store.ts'
import { EMPTY_CHECKSUM, type Position, toTXID } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { openDataDirectory } from './directory.ts'
import { installRestored, type Restored, restoringPath } from './restored.ts'

const NAME = 'in/a.db'
const SIDE = 'diverged/in/a.db/now'
const OLD: Position = { txid: toTXID(5), checksum: EMPTY_CHECKSUM }
const NEW: Position = { txid: toTXID(9), checksum: EMPTY_CHECKSUM }

/** A local database with a log and all side files, and a restored one beside it. */
function prepare(dir: string, { dropped = false } = {}) {
  const data = openDataDirectory(dir)
  const log = logDirectory(dir, NAME)
  mkdirSync(dirname(`${data.root}/${NAME}`), { recursive: true })
  for (const suffix of ['', '-wal', '-shm', '-journal']) writeFileSync(`${data.root}/${NAME}${suffix}`, `old${suffix}`)
  createLog(data.files, log, OLD)
  for (const segment of ['1', '2', '3']) writeFileSync(`${log}/${segment}.ltxlog`, 'old')
  if (!dropped) {
    mkdirSync(dirname(restoringPath(data, NAME)), { recursive: true })
    writeFileSync(restoringPath(data, NAME), 'new')
  }
  return data
}

/** 'old' and 'new' are whole; anything else is neither. */
function stateOf(dir: string, { dropped, aside }: Pick<Restored, 'dropped' | 'aside'>): string {
  const data = openDataDirectory(dir)
  const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined)
  const file = `${data.root}/${NAME}`
  const log = logDirectory(dir, NAME)
  const found = {
    files: ['', '-wal', '-shm', '-journal'].map((suffix) => read(file + suffix)),
    base: readBase(data.files, log).txid,
    segments: readdirSync(log).filter((name) => name.endsWith('.ltxlog')).length,
    left: [`${dir}/hydrating`, `${dir}/restored/${NAME}.json`].filter((path) => existsSync(path)),
    aside: existsSync(`${dir}/${SIDE}`)
      ? [
          ...readdirSync(`${dir}/${SIDE}`).sort(),
          ...readdirSync(`${dir}/${SIDE}/log`).sort(),
          read(`${dir}/${SIDE}/database`),
        ]
      : undefined,
  }
  data.close()
  const old = { files: ['old', 'old-wal', 'old-shm', 'old-journal'], base: OLD.txid, segments: 3, left: [] }
  const fresh = {
    files: [dropped ? undefined : 'new', undefined, undefined, undefined],
    base: NEW.txid,
    segments: 0,
    left: [],
  }
  const moved = [
    ...['database', 'database-journal', 'database-shm', 'database-wal', 'log', 'report.json'],
    ...['1.ltxlog', '2.ltxlog', '3.ltxlog', 'base.json', 'old'],
  ]
  if (isEqual(found, { ...old, aside: undefined })) return 'old'
  return isEqual(found, { ...fresh, aside: aside && moved }) ? 'new' : JSON.stringify(found, textOf)
}

const textOf = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
const isEqual = (one: object, other: object) => JSON.stringify(one, textOf) === JSON.stringify(other, textOf)

test.each([
  ['is removed', { position: NEW, dropped: false }],
  ['is moved aside', { position: NEW, dropped: false, aside: { path: SIDE, reason: 'it differs' } }],
  ['was dropped in the backup', { position: NEW, dropped: true }],
] as const)(
  'a crash at any step leaves the local database or, after the next start, the restored one, where the local one %s',
  (_, restored: Restored) => {
    using temporary = temporaryDirectory()
    const dir = `${temporary.dir}/node`
    const data = prepare(dir, restored)
    const left: string[] = []
    const at = (point: CrashPoint) => {
      leaveCrashed(dir, `${temporary.dir}/${left.length}`, point)
      left.push(point.what)
    }
    installRestored({ dir, at: dir, root: data.root, files: crashPointFiles(nodeFiles, at) }, NAME, restored)
    data.close()
    const states = left.map((_, i) => stateOf(`${temporary.dir}/${i}`, restored))
    const noted = states.indexOf('new')
    expect(left[noted]).toMatch(/^(rename|unlink|make directory) /)
    const wrong = states.flatMap((state, i) => (state === (i < noted ? 'old' : 'new') ? [] : [`${left[i]}: ${state}`]))
    expect(wrong).toEqual([])
    expect(left.length).toBeGreaterThan(15)
    expect(stateOf(dir, restored)).toBe('new')
  },
)

test('a restore that was not complete is removed by the next start, and the local database stays', () => {
  using temporary = temporaryDirectory()
  const data = prepare(temporary.dir)
  data.close()
  expect(stateOf(temporary.dir, { dropped: false })).toBe('old')
})

test('a note that is damaged stops nothing else', () => {
  using temporary = temporaryDirectory()
  prepare(temporary.dir).close()
  mkdirSync(`${temporary.dir}/restored/in`, { recursive: true })
  writeFileSync(`${temporary.dir}/restored/in/a.db.json`, 'x')
  const said: string[] = []
  openDataDirectory(temporary.dir, { changed: (message) => said.push(message) }).close()
  expect(said).toEqual([expect.stringMatching(/database in\/a\.db was restored.*damaged/)])
  rmSync(`${temporary.dir}/restored`, { recursive: true })
  expect(stateOf(temporary.dir, { dropped: false })).toBe('old')
})
