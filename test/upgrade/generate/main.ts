/**
 * `npm run upgrade-fixture -- NAME` writes the fixture test/upgrade/NAME. LTXD_CLI names the dist/cli.js of another
 * build. See test/upgrade/README.md.
 */

import { cpSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { useBuiltTools } from '../../../infra/test-tools.ts'
import buildPrograms from '../../harness/build-programs.ts'
import { LTXD_CLI } from '../../harness/ltxd-node.ts'
import { fixtureDirectory, formatManifest, MANIFEST_FORMAT, MANIFEST_NAME } from '../fixture.ts'
import { writeBucketAndQueue } from './bucket-and-queue.ts'
import { commit, version } from './build.ts'
import { formatsOf } from './formats.ts'
import { writeClean, writeKilled } from './installations.ts'
import { writeLeases } from './leases.ts'

const [name = ''] = process.argv.slice(2)
if (!/^[0-9]+(\.[0-9]+)+(-[a-z0-9-]+)?$/.test(name)) {
  console.error('usage: npm run upgrade-fixture -- VERSION, such as 0.2 or 0.2-page-sums')
  process.exit(2)
}
const target = fixtureDirectory(name)
if (existsSync(target)) {
  console.error(`${target} exists, and a fixture never changes: choose another name`)
  process.exit(2)
}
useBuiltTools()
await buildPrograms()
console.log(`writing ${target} with ${LTXD_CLI}`)
const dir = mkdtempSync(join(tmpdir(), 'ltxd-upgrade-'))
const clean = await writeClean(join(dir, 'clean.tar.gz'))
const killed = await writeKilled(join(dir, 'killed.tar.gz'))
const leases = await writeLeases(dir)
const { bucket, queue } = await writeBucketAndQueue(dir)
const formats = await formatsOf(dir, { clean, leases })
const built = { version: await version(), commit: await commit() }
const manifest = {
  manifest: MANIFEST_FORMAT,
  ...built,
  formats,
  installations: { clean, killed },
  bucket,
  leases,
  queue,
}
writeFileSync(join(dir, MANIFEST_NAME), formatManifest(manifest as Parameters<typeof formatManifest>[0]))
// Last, so that an interrupted run leaves no incomplete fixture.
cpSync(dir, target, { recursive: true })
console.log(`${target} is written`)
process.exit(0)
