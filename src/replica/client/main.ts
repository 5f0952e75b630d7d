/**
 * The local client's process. It ends on request, or with its node: its standard input then ends, and so does the
 * mount.
 */

import fs from 'node:fs'
import { deviceOf } from '../../fuse/host/mountinfo.ts'
import { ignoreDebugSignal } from '../../util/debugger.ts'
import { filesBeneath, pinned } from '../../util/files-beneath.ts'
import { FrameParser, PIPE_FRAMES } from '../../util/frames.ts'
import { PRIVATE } from '../../util/private-files.ts'
import { Announcer } from './announcer.ts'
import { Checkpointer } from './checkpointer.ts'
import { LocalClient } from './client.ts'
import { DATA_DESCRIPTOR, type FromClient, type ToClient } from './messages.ts'

const [mountDir = '', announcementsPath = '', mounted = '', dataDir = ''] = process.argv.slice(2)
ignoreDebugSignal()
// The node handles the terminal's signals for both processes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.title = `ltxd: local client of ${mountDir}`

const send = (message: FromClient) => void fs.writeSync(1, JSON.stringify(message) + '\n')
// Other users may rename a directory above the mount, and put another in its place, at any time.
const mount = pinned(mountDir)
if (deviceOf(mount) !== mounted) {
  process.stderr.write(`${mountDir} does not lead to the mount any more: somebody has moved a directory above it\n`)
  process.exit(1)
}
const files = filesBeneath(mountDir, PRIVATE, mount)
const data = filesBeneath(dataDir, PRIVATE, `/proc/self/fd/${DATA_DESCRIPTOR}/.`)
const { announce } = new Announcer(files, announcementsPath)
const client = new LocalClient(files, data, announce, send)
const checkpointer = new Checkpointer(files, data, announce, send)
const parser = new FrameParser(PIPE_FRAMES)

process.stdin.on('data', (chunk: Buffer) => {
  for (const { header, body } of parser.push(chunk)) {
    const order = header as ToClient
    if (order.type === 'close') {
      client.complete()
      client.close()
      process.exit(0)
    }
    if (order.type === 'finish') {
      client.complete()
      client.finish()
    } else if (order.type === 'ping') send({ type: 'alive' })
    else if (order.type === 'guard') checkpointer.guard(order)
    else if (order.type === 'quiet') checkpointer.quiet(order)
    else if (order.type === 'leave') checkpointer.leave(order.database)
    else client.enqueue(order, body)
  }
  client.work()
})
process.stdin.on('end', () => process.exit(0))
