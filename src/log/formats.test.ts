import fs from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { inspectLog } from './open.ts'
import { readBase, readSynced, writeSynced } from './store.ts'
import { TestLog } from './testing.ts'
import { readCleanStop, writeCleanStop } from './trust.ts'

/** The formats of the log and of the files beside it. */

function madeLog(dir: string) {
  const log = new TestLog(dir)
  log.append(2)
  const { position } = log
  const before = fs.statSync(`${dir}/${log.segments[0]}`).size
  log.append(2)
  log.writer.close()
  return { log, position, lastAt: before, segment: `${dir}/${log.segments[0]}` }
}

/** As a version without checksums would write it. */
const edit = (path: string, change: object) => {
  const { checksum: _, ...stored } = JSON.parse(fs.readFileSync(path, 'utf8')) as Record<string, unknown>
  fs.writeFileSync(path, JSON.stringify({ ...stored, ...change }))
}

test('a log with a record of a later format is rejected with its path, and not cut', () => {
  using temporary = temporaryDirectory()
  const { log, lastAt, segment } = madeLog(`${temporary.dir}/a.ltx`)
  const bytes = fs.readFileSync(segment)
  bytes.write('LTXLOG2\n', lastAt, 'latin1')
  fs.writeFileSync(segment, bytes)
  expect(() => inspectLog(nodeFiles, log.dir)).toThrow(
    new RegExp(`^${segment} has format 2, but ltxd \\S+ knows only 1\\. Nothing was changed\\. [^\\n]*$`),
  )
  expect(fs.readFileSync(segment).equals(bytes)).toBe(true)
})

test('a position of a later format is rejected with its path', () => {
  using temporary = temporaryDirectory()
  const { log, position } = madeLog(`${temporary.dir}/a.ltx`)
  writeSynced(nodeFiles, log.dir, position)
  for (const [file, read] of [
    ['base.json', readBase],
    ['synced.json', readSynced],
  ] as const) {
    edit(`${log.dir}/${file}`, { format: 3 })
    expect(() => read(nodeFiles, log.dir)).toThrow(`${log.dir}/${file} has format 3, but ltxd`)
  }
})

test('a position without a number, as version 0.1 wrote it, is read; a new one has a number', () => {
  using temporary = temporaryDirectory()
  const { log, position } = madeLog(`${temporary.dir}/a.ltx`)
  const path = `${log.dir}/synced.json`
  writeSynced(nodeFiles, log.dir, position)
  expect(JSON.parse(fs.readFileSync(path, 'utf8'))).toMatchObject({ format: 1, position: formatPosition(position) })
  fs.writeFileSync(path, JSON.stringify({ position: formatPosition(position) }))
  expect(readSynced(nodeFiles, log.dir)).toEqual(position)
})

test('a record of a clean stop of a later format is ignored', () => {
  using temporary = temporaryDirectory()
  const { log, position } = madeLog(`${temporary.dir}/a.ltx`)
  const stop = { position, file: '1:2:3', segment: '4:5:6' }
  writeCleanStop(nodeFiles, log.dir, stop)
  expect(readCleanStop(nodeFiles, log.dir)).toEqual(stop)
  edit(`${log.dir}/clean.json`, { format: undefined })
  expect(readCleanStop(nodeFiles, log.dir)).toEqual(stop)
  edit(`${log.dir}/clean.json`, { format: 2 })
  expect(readCleanStop(nodeFiles, log.dir)).toBeUndefined()
})

test.each(['7fffffffffffffff/8000000000000000', 'ffffffffffffffff/8000000000000000', '1/8', '', 'x'])(
  'a position that cannot be (%s) is damage, and names its file',
  (position) => {
    using temporary = temporaryDirectory()
    const { log } = madeLog(`${temporary.dir}/a.ltx`)
    edit(`${log.dir}/base.json`, { position })
    expect(() => readBase(nodeFiles, log.dir)).toThrow(/^\S+base\.json is damaged: position: /)
  },
)
