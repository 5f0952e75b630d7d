/** A data plane whose device cannot be read; `node` ends when none of its threads is left. */

import fs from 'node:fs'
import path from 'node:path'
import { DataPlane } from '../../src/dataplane/dataplane.ts'
import { PRIVATE } from '../../src/util/private-files.ts'

const directory = process.argv[2] ?? ''
const root = path.join(directory, 'files')
fs.mkdirSync(root)
const plane = new DataPlane({
  ...{ dataDir: directory, at: directory },
  root,
  mountDir: directory,
  modes: PRIVATE,
  nodeId: 1n,
  segmentSizeBytes: 1 << 20,
  filter: { databases: ['*'], otherFiles: 'serve' },
  latency: 'low',
  log: () => {},
  released: () => undefined,
  appeared: () => {},
  ownerChanged: () => {},
})
await plane.recover()
const device = { device: fs.openSync(directory, 'r'), bell: fs.openSync('/dev/null', 'w') }
await plane.serve(directory, device, 0).catch(() => {})
await plane.stop().catch((error: unknown) => console.log((error as NodeJS.ErrnoException).code))
