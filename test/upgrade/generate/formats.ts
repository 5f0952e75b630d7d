/** The format numbers and magics in the files of a fixture. */

import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Installation, type LeaseFacts, type Manifest, unpack } from '../fixture.ts'

const FORMAT_KEY = 'format'

/** Reads them from the unfinished fixture in `dir`. */
export async function formatsOf(
  dir: string,
  { clean, leases }: { clean: Installation; leases: readonly LeaseFacts[] },
): Promise<Manifest['formats']> {
  const place = mkdtempSync(join(tmpdir(), 'ltxd-formats-'))
  await unpack({ name: 'new', dir }, clean.archive, place)
  const log = join(place, 'data/log/many.db.ltx')
  const level0 = join(place, 'backup/app.db/ltx/0')
  const markers = join(place, 'backup/gone.db/markers')
  const first = (directory: string, end: string) => join(directory, named(directory, end))
  return {
    'data directory': numberIn(read(join(place, 'data/node.json')), FORMAT_KEY),
    'base.json': numberIn(read(join(log, 'base.json')), FORMAT_KEY),
    'synced.json': numberIn(read(join(log, 'synced.json')), FORMAT_KEY),
    'clean.json': numberIn(read(join(log, 'clean.json')), FORMAT_KEY),
    'pages.bin': magic(join(log, 'pages.bin'), 8),
    log: magic(first(log, '.ltxlog'), 7),
    LTX: magic(first(level0, '.ltx'), 4),
    'backup sidecar': numberIn(read(first(level0, '.meta.json')), FORMAT_KEY),
    'backup marker': numberIn(read(first(markers, '-dropped.json')), FORMAT_KEY),
    'lease record': numberIn(leases[0]?.value ?? '{}', 'ltxd'),
    'job payload': numberIn(payloadIn(dir), FORMAT_KEY),
  }
}

function payloadIn(dir: string): string {
  const commands = JSON.parse(read(join(dir, 'queue.json'))) as string[][]
  const job = commands.find(([command, key]) => command === 'HSET' && key?.endsWith(':restore:meta') === false) ?? []
  return job[job.indexOf('data') + 1] ?? '{}'
}

function numberIn(text: string, key: string): number | null {
  const value = (JSON.parse(text) as Record<string, unknown>)[key]
  return typeof value === 'number' ? value : null
}

function magic(path: string, length: number): string {
  return readFileSync(path).subarray(0, length).toString('latin1')
}

function named(directory: string, end: string): string {
  const name = readdirSync(directory).find((entry) => entry.endsWith(end))
  if (name === undefined) throw new Error(`${dirname(directory)} has nothing that ends in ${end}`)
  return name
}

function read(path: string): string {
  return readFileSync(path, 'utf8')
}
