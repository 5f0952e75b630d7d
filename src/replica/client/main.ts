/**
 * The local client's process. Ends when it is told to, or when its node does: then its standard input ends, and the mount with it, on
 * which it might otherwise wait.
 */

import fs from 'node:fs'
import { FrameParser, PIPE_FRAMES } from '../../util/frames.ts'
import { Checkpointer } from './checkpointer.ts'
import { LocalClient } from './client.ts'
import type { FromClient, ToClient } from './messages.ts'

const [mountDir = '', announcementsPath = ''] = process.argv.slice(2)
// Of the terminal's signals the node makes what is right.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.title = `ltxd: local client of ${mountDir}`

const say = (message: FromClient) => void fs.writeSync(1, JSON.stringify(message) + '\n')
const client = new LocalClient(mountDir, announcementsPath, say)
const checkpointer = new Checkpointer(mountDir, say)
const parser = new FrameParser(PIPE_FRAMES)

process.stdin.on('data', (chunk: Buffer) => {
  for (const { header, body } of parser.push(chunk)) {
    const order = header as ToClient
    if (order.type === 'close') {
      client.work()
      client.close()
      process.exit(0)
    }
    if (order.type === 'guard') checkpointer.guard(order)
    else if (order.type === 'leave') checkpointer.leave(order.database)
    else client.take(order, body)
  }
  client.work()
})
process.stdin.on('end', () => process.exit(0))
