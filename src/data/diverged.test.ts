import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { type DataDirectory, openDataDirectory } from './directory.ts'
import { type Divergence, saveDiverged, saveRejected } from './diverged.ts'

let data: DataDirectory

beforeEach(() => {
  data = openDataDirectory(fs.mkdtempSync(`${tmpdir()}/ltxd-diverged-`))
  fs.writeFileSync(`${data.root}/a.db`, 'its pages')
})
afterEach(() => {
  data.close()
  fs.rmSync(data.dir, { recursive: true })
})

const position = (txid: bigint, checksum: bigint): Position => ({ txid: txid as TXID, checksum: checksum as Checksum })
const divergence = (change: Partial<Divergence> = {}): Divergence => {
  return { database: 'a.db', position: position(5n, 77n), fork: undefined, reason: 'another history', ...change }
}
const saved = () => fs.readdirSync(`${data.dir}/diverged/a.db`)

test('one divergence is saved once, however often the snapshot after it fails to arrive', async () => {
  const dir = await saveDiverged(data, divergence())
  expect(fs.readFileSync(`${dir}/database`, 'utf8')).toBe('its pages')
  expect(await saveDiverged(data, divergence({ reason: 'other words' }))).toBe(dir)
  expect(saved()).toHaveLength(1)
})

test.each([
  ['with another content', { position: position(5n, 78n) }],
  ['further on', { position: position(6n, 77n) }],
  ['from another fork', { fork: 4n as TXID }],
])('a divergence %s is saved separately', async (_, change) => {
  await saveDiverged(data, divergence())
  await saveDiverged(data, divergence(change))
  expect(saved()).toHaveLength(2)
})

test('a divergence without a report is saved again', async () => {
  const dir = await saveDiverged(data, divergence())
  fs.rmSync(`${dir}/report.json`)
  expect(await saveDiverged(data, divergence())).not.toBe(dir)
})

test('a directory with the name of a side file does not keep a divergence from being saved', async () => {
  fs.mkdirSync(`${data.root}/a.db-journal`)
  const dir = await saveDiverged(data, divergence())
  expect(fs.readdirSync(dir).sort()).toEqual(['database', 'report.json'])
})

test('a long file without content is set aside at once, and takes no room', async () => {
  const sizeBytes = 2 ** 40
  fs.truncateSync(`${data.root}/a.db`, 0)
  fs.truncateSync(`${data.root}/a.db`, sizeBytes)
  const dir = await saveRejected(data, 'a.db', 'a plain file')
  const { size, blocks } = fs.statSync(`${dir}/database`)
  expect({ size, blocks }).toEqual({ size: sizeBytes, blocks: 0 })
})
