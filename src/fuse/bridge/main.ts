/**
 * The bridge: a process of its own in which libfuse 2 serves a mount, and forwards each call to the session at the
 * other end of descriptor 3. It mounts on the directory that it has as descriptor 4, and ends when the node closes its
 * stdin. Usage: bridge MOUNTPOINT OPTIONS, with the directory's path, and BridgeOptions as JSON. Prints `mounted` on
 * stdout once it serves the mount.
 */

import { ignoreDebugSignal } from '../../util/debugger.ts'
import { MountWatch } from '../host/mount-watch.ts'
import { mountAt } from '../host/mountinfo.ts'
import { attributeCallbacks } from './attribute-callbacks.ts'
import { directoryCallbacks } from './directory-callbacks.ts'
import { fileCallbacks } from './file-callbacks.ts'
import type { BridgeOptions } from './mount.ts'
import { nameCallbacks } from './name-callbacks.ts'
import { Names } from './names.ts'
import { loadFuse } from './package.ts'
import { Wire } from './wire.ts'

const SOCKET = 3
const DIRECTORY = 4
/**
 * Options of libfuse that the package does not know. The kernel caches names and attributes for a second, because the
 * special files change by themselves. It caches pages until the file is opened again and has changed. An open with
 * O_TRUNC must come as one: as an open and then a truncation by name, another would seem to have the file open.
 */
const OPTIONS = [
  'use_ino',
  'big_writes',
  'atomic_o_trunc',
  'attr_timeout=1',
  'entry_timeout=1',
  'negative_timeout=1',
  'ac_attr_timeout=0',
]

ignoreDebugSignal()
const [mountPoint = '', text = '{}'] = process.argv.slice(2)
const { fsname, subtype, allowOther } = JSON.parse(text) as BridgeOptions
process.title = 'ltxd-bridge'
process.stdin.resume().once('close', () => process.exit(0))

try {
  const Fuse = await loadFuse()
  const wire = new Wire(SOCKET, () => process.exit(0))
  wire.begin()
  const names = new Names(wire)
  const fuse = new Fuse(
    mountPoint,
    {
      ...attributeCallbacks(wire, names),
      ...directoryCallbacks(wire, names),
      ...nameCallbacks(wire, names),
      ...fileCallbacks(wire, names),
    },
    {
      timeout: false,
      fsname,
      subtype: [subtype, ...OPTIONS].join(','),
      autoCache: true,
      defaultPermissions: true,
      allowOther,
    },
  )
  // The package takes only a path, which it makes absolute: a directory above it could be exchanged meanwhile.
  process.chdir(`/proc/self/fd/${DIRECTORY}`)
  fuse.mnt = '.'
  fuse.mount((error) => {
    if (error !== null) return fail(error)
    process.chdir('/')
    const mounted = mountAt(mountPoint)
    if (mounted === undefined) return fail(`${mountPoint} was moved meanwhile`)
    // fuse-native does not report the end of the mount.
    new MountWatch(mounted, () => process.exit(0)).start()
    process.stdout.write('mounted\n')
  })
} catch (error) {
  fail(error)
}

function fail(error: unknown): void {
  process.stderr.write(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
  process.stdin.destroy()
}
