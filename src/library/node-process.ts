/** The process of a node that a program has started. It stops when it is told to, and when that program is gone. */

import { readAddress } from '../api/address-file.ts'
import { type Flag, loadConfig } from '../config/load.ts'
import { requireLinux } from '../fuse/host/platform.ts'
import { type Node, startNode } from '../node/node.ts'
import { ignoreDebugSignal } from '../util/debugger.ts'
import { errorMessage, LtxdError } from '../util/errors.ts'
import { createLogger } from '../util/log.ts'
import type { Failure, FromNode, NodeSettings, ToNode } from './messages.ts'

const stopping = new AbortController()
let node: Node | undefined
let fail: (error: unknown) => void = () => {}
const broken = new Promise<never>((_, reject) => (fail = reject))
broken.catch(() => {})

ignoreDebugSignal()
process.title = 'ltxd: node'
process.on('message', (message: ToNode) => {
  if (message.type === 'start') void run(message.settings)
  else stop()
})
// The program has ended, whether it said so or not.
process.on('disconnect', stop)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)

async function run(settings: NodeSettings): Promise<void> {
  let error: Failure | undefined
  try {
    await serve(settings)
  } catch (cause) {
    if (node !== undefined || !stopping.signal.aborted) error = failureOf(cause)
  }
  say({ type: 'ended', ...(error && { error }) }, () => process.exit(error?.exitCode ?? 0))
}

async function serve(settings: NodeSettings): Promise<void> {
  requireLinux()
  const config = configOf(settings)
  node = await startNode(config, createLogger(config.log), { signal: stopping.signal })
  const { mountDir, closed } = node
  const address = readAddress(config.data.dir)
  say({ type: 'serving', mountDir, url: address?.url ?? '' })
  if (stopping.signal.aborted) stop()
  await Promise.race([closed, broken])
}

function stop(): void {
  stopping.abort()
  node?.stop().catch(fail)
}

function say(message: FromNode, sent: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, undefined, sent)
  else sent()
}

function configOf({ config: file, mount, data, backup, http, logLevel }: NodeSettings) {
  const flags: Flag[] = []
  const set = (flag: string, path: readonly string[], value: string | undefined) => {
    if (value !== undefined) flags.push({ flag, path, value })
  }
  set('mount', ['fuse', 'dir'], mount)
  set('data', ['data', 'dir'], data)
  set('backup', ['backup', 'url'], backup)
  set('http', ['http', 'addr'], http ?? (file === undefined ? '127.0.0.1:0' : undefined))
  set('logLevel', ['log', 'level'], logLevel ?? (file === undefined ? 'warn' : undefined))
  return loadConfig({ flags, ...(file === undefined ? { paths: [] } : { file }) })
}

function failureOf(error: unknown): Failure {
  if (error instanceof LtxdError) return { code: error.code, message: error.message, exitCode: error.exitCode }
  return { code: 'NODE_FAILED', message: errorMessage(error), exitCode: 1 }
}
