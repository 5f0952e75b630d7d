/**
 * The format of a fixture: what one version of ltxd left behind. `generate/` writes fixtures and `upgrade.test.ts`
 * reads them, both by these schemas.
 */

import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'

const run = promisify(execFile)

/** Of manifest.json. The test must read every number that a fixture has. */
export const MANIFEST_FORMAT = 1
const MANIFEST = 'manifest.json'

const contents = z.strictObject({ rows: z.int().min(1), sha256: z.string().regex(/^[0-9a-f]{64}$/) })
const txid = z.string().regex(/^[0-9a-f]{16}$/)

/** A restorable state of a database. The version itself restored it when it wrote the fixture. */
const moment = z.strictObject({ txid, ...contents.shape })

const database = z.strictObject({
  name: z.string(),
  journalMode: z.string(),
  /** The last transaction on the node. */
  txid,
  /** The contents that applications must see. */
  ...contents.shape,
  /** Ascending. */
  moments: z.array(moment).min(2),
})

const installation = z.strictObject({
  /** Contains `data/`, a data directory, and `backup/`, its backup. */
  archive: z.string(),
  databases: z.array(database).min(1),
  /** Databases that were dropped. */
  dropped: z.array(z.string()),
  /** Files of the data directory that must not change. */
  untouched: z.array(z.string()),
})

const bucket = z.strictObject({
  /** The objects: see `objectSchema`. */
  file: z.string(),
  /** Without an endpoint, see bucket.ts. The jobs in the queue have the same URL. */
  url: z.string(),
  name: z.string(),
  databases: z.array(database).min(1),
  dropped: z.array(z.string()),
})

const lease = z.strictObject({
  state: z.enum(['held', 'released']),
  /** The value of the key in Consul, and its flags. */
  value: z.string(),
  flags: z.int(),
  /** Whether a session held the key. */
  locked: z.boolean(),
  key: z.string(),
  /** Contains `backup/`, and the data directory of each node under its hostname. */
  archive: z.string(),
  /** Hostnames, the holder's first. */
  nodes: z.array(z.string()).min(2),
  database,
})

const job = z.strictObject({
  queue: z.string(),
  id: z.string(),
  /** Of a restore: its output, below the worker's output directory or as an object, and what that must contain. */
  restores: z.strictObject({ path: z.string().optional(), key: z.string().optional(), ...contents.shape }).optional(),
})

const queue = z.strictObject({
  /** The Redis commands that write all keys. */
  file: z.string(),
  /** Jobs that no worker has started. */
  jobs: z.array(job).min(1),
  /** The ids of all schedules, by queue. */
  schedules: z.record(z.string(), z.array(z.string()).min(1)),
})

const manifest = z.strictObject({
  manifest: z.literal(MANIFEST_FORMAT),
  /** As `ltxd version` prints it. */
  version: z.string(),
  commit: z.string(),
  /** The number or magic that each format has in the files; null if it has none. */
  formats: z.record(z.string(), z.union([z.string(), z.number(), z.null()])),
  installations: z.record(z.string(), installation),
  bucket,
  leases: z.array(lease).min(1),
  queue,
})

export type Manifest = z.output<typeof manifest>
export type Contents = z.output<typeof contents>
export type Moment = z.output<typeof moment>
export type DatabaseFacts = z.output<typeof database>
export type Installation = z.output<typeof installation>
export type BucketFacts = z.output<typeof bucket>
export type LeaseFacts = z.output<typeof lease>
export type JobFacts = z.output<typeof job>
export type QueueFacts = z.output<typeof queue>

const objectSchema = z.strictObject({
  key: z.string(),
  metadata: z.record(z.string(), z.string()),
  body: z.base64().transform((text) => Buffer.from(text, 'base64')),
})
export type BucketObject = z.output<typeof objectSchema>

const commandSchema = z.array(z.string()).min(2)

export interface Fixture {
  readonly name: string
  readonly dir: string
  readonly manifest: Manifest
}

/** The names of all fixtures: every directory here but the generator's. */
export function fixtureNames(): string[] {
  return readdirSync(import.meta.dirname, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'generate')
    .map(({ name }) => name)
    .sort()
}

export function fixtureDirectory(name: string): string {
  return join(import.meta.dirname, name)
}

/** Throws an error that names the file and the problem. */
export function readFixture(name: string): Fixture {
  const dir = fixtureDirectory(name)
  const manifestOf = parsed(name, MANIFEST, manifest, JSON.parse)
  const { installations, bucket, leases, queue } = manifestOf
  const files = [...Object.values(installations), ...leases].map(({ archive }) => archive)
  for (const file of [...files, bucket.file, queue.file]) {
    if (!existsSync(join(dir, file))) throw unreadable(name, file, 'it is missing')
  }
  return { name, dir, manifest: manifestOf }
}

export function readObjects({ name, manifest: { bucket } }: Fixture): BucketObject[] {
  return parsed(name, bucket.file, z.array(objectSchema).min(1), JSON.parse)
}

export function readCommands({ name, manifest: { queue } }: Fixture): string[][] {
  return parsed(name, queue.file, z.array(commandSchema).min(1), JSON.parse)
}

export function formatManifest(value: Manifest): string {
  return JSON.stringify(manifest.parse(value), null, 2) + '\n'
}

/** JSON with one item a line. */
export function formatLines(items: readonly unknown[]): string {
  return `[\n${items.map((item) => JSON.stringify(item)).join(',\n')}\n]\n`
}

export const MANIFEST_NAME = MANIFEST

/** Packs the content of `dir`. The archive depends on names, contents, modes and modification times alone. */
export async function pack(dir: string, archive: string): Promise<void> {
  const same = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--format=posix']
  // tar cannot restore the time of the last change, and nobody needs the time of the last access.
  const times = ['--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime']
  await run('tar', ['-C', dir, ...same, ...times, '-I', 'gzip -9n', '-cf', archive, '.'])
}

/** Unpacks an archive of the fixture into a new directory. Throws an error that names the archive and the problem. */
export async function unpack(
  { name, dir }: Pick<Fixture, 'name' | 'dir'>,
  archive: string,
  into: string,
): Promise<void> {
  await mkdir(into, { recursive: true })
  try {
    await run('tar', ['-C', into, '--no-same-owner', '-xpzf', join(dir, archive)])
  } catch (error) {
    throw unreadable(name, archive, error instanceof Error ? error.message : String(error))
  }
}

function parsed<T>(name: string, file: string, schema: z.ZodType<T>, parse: (text: string) => unknown): T {
  let value: unknown
  try {
    value = parse(readFileSync(join(fixtureDirectory(name), file), 'utf8'))
  } catch (error) {
    throw unreadable(name, file, error instanceof Error ? error.message : String(error))
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw unreadable(name, file, `${issue?.path.join('.') || 'its value'}: ${issue?.message ?? 'unexpected'}`)
}

function unreadable(name: string, file: string, problem: string): Error {
  return new Error(
    `test/upgrade/${name}/${file} cannot be read: ${problem}. Bring it back from the history of the project, or write the ` +
      `fixture anew with the build of that version: see test/upgrade/README.md`,
  )
}
