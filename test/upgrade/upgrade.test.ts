import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { LIMITS_VARIABLE } from '../../src/config/limits.ts'
import { formatState } from '../../src/util/state-file.ts'
import { ltxd } from '../cli/run.ts'
import { shorten } from '../harness/limits.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { environmentOf, fillBucket } from './bucket.ts'
import { contentsOf } from './contents.ts'
import { type Fixture, fixtureNames, type Installation, readFixture, readObjects, unpack } from './fixture.ts'
import { checkHeldLease, checkReleasedLease } from './lease-check.ts'
import { commits, isValid, serves, shipsAndRestores } from './lives.ts'
import { checkQueue } from './queue-check.ts'
import { Station } from './station.ts'

/** Starts this build on what earlier versions left behind. README.md describes the fixtures, and how to add one. */

const noConsul = findTool('consul') === undefined
const noS3 = findS3Server('versitygw') === undefined
const noRedis = findTool('redis-server') === undefined
if ((noConsul || noS3 || noRedis) && process.env['CI'] === 'true')
  throw new Error('Consul, S3 or Redis is not installed')

const before = { ...process.env }
// A node that takes over from a dead one waits for so long before it ships.
shorten({ uploadMs: 4_000 })
let dir: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ltxd-upgrade-'))
})

afterAll(() => {
  process.env = { ...before }
  rmSync(dir, { recursive: true, force: true })
})

test('no fixture is missing', () => {
  expect(fixtureNames()).toEqual(expect.arrayContaining(['0.1', '0.2-dev']))
})

describe.each(fixtureNames())('the fixture of version %s', (name) => {
  let fixture: Fixture
  try {
    fixture = readFixture(name)
  } catch (error) {
    test('is readable', () => {
      throw error
    })
    return
  }
  const { installations, bucket, leases } = fixture.manifest
  const place = (kind: string) => join(dir, name, kind)

  describe.each(Object.entries(installations))('a data directory with its backup, %s', (kind, left) => {
    test('is served, continues, ships and restores', () => checkInstallation(fixture, left, place(kind)))
  })

  test('a data directory of a later format is rejected in one line, and nothing in it changes', async () => {
    const [left] = Object.values(installations)
    await unpack(fixture, left?.archive ?? '', place('later'))
    const data = join(place('later'), 'data')
    const file = join(data, 'node.json')
    // A checksum means the same in every format.
    const { checksum, format: _, ...state } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    const later = checksum === undefined ? JSON.stringify({ ...state, format: 1000 }) : formatState(1000, state)
    writeFileSync(file, later)
    const before = listAll(data)
    const mount = join(place('later'), 'mnt')
    mkdirSync(mount)
    for (const args of [['mount', mount], ['recover', '--dry-run'], ['recover']]) {
      const { code, stderr } = await ltxd([...args, '--data', data], { env: { [LIMITS_VARIABLE]: undefined } })
      expect([code, stderr.trimEnd().split('\n')], args.join(' ')).toEqual([
        1,
        [expect.stringContaining(`${file} has format 1000, but ltxd`)],
      ])
    }
    expect([readFileSync(file, 'utf8'), listAll(data)]).toEqual([later, before])
  })

  describe.skipIf(noConsul).each(leases)('a lease record, $state', (lease) => {
    test('is taken over at the right time, in a later term', async () => {
      const check = lease.state === 'held' ? checkHeldLease : checkReleasedLease
      await check(fixture, lease, place(lease.state))
    })
  })

  describe.skipIf(noS3)('a bucket', () => {
    let server: S3Server

    beforeAll(async () => {
      server = await S3Server.start('versitygw')
      Object.assign(process.env, environmentOf(server))
    })

    afterAll(() => server.stop())

    test.skipIf(noRedis)('is maintained by the jobs and schedules that are in the queues', async () => {
      await fillBucket(server, bucket.name, readObjects(fixture))
      await checkQueue(fixture, server, place('queue'))
    })

    test('boots an empty node, which serves, continues, ships and restores', async () => {
      await fillBucket(server, bucket.name, readObjects(fixture))
      await isValid(bucket.url)
      await using station = await Station.start({ data: place('empty'), backup: bucket.url })
      const left = { ...bucket, backup: bucket.url }
      await serves(station, left)
      await shipsAndRestores(station, left, await commits(station, left))
      await station.stop()
    })
  })
})

async function checkInstallation(fixture: Fixture, left: Installation, place: string): Promise<void> {
  await unpack(fixture, left.archive, place)
  const data = join(place, 'data')
  const backup = `file://${join(place, 'backup')}`
  const untouched = () => left.untouched.map((file) => readFileSync(join(data, file)).toString('base64'))
  const setAside = untouched()
  await isValid(backup)
  await using station = await Station.start({ data, backup })
  await serves(station, { ...left, backup })
  const now = await commits(station, { ...left, backup })
  await shipsAndRestores(station, { ...left, backup }, now)
  await station.stop()
  expect(untouched()).toEqual(setAside)
  expect(left.databases.map(({ name }) => contentsOf(join(data, 'files', name)))).toEqual(now)
}

function listAll(data: string): string[] {
  return readdirSync(data, { recursive: true, encoding: 'utf8' }).sort()
}
