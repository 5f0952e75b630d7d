/** Options of the commands that talk to a running node: how to find it, and how long to wait for it. */

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { readAddress } from '../../api/address-file.ts'
import { loadConfig } from '../../config/load.ts'
import { DEFAULT_DATA_DIR } from '../../config/schema.ts'
import { LtxdError, UsageError } from '../../util/errors.ts'
import { parseDuration } from '../../util/units.ts'

export interface NodeOptions {
  readonly data?: string
  readonly http?: string
  readonly config?: string
}

/** The longest that an HTTP request may take. */
const MAX_TIMEOUT_MS = 5 * 60_000

export function addFindOptions(command: Command): Command {
  return command
    .option('--data <dir>', 'the node that runs on this data directory')
    .option('--http <addr>', 'the node whose API listens at this address')
}

export function addTimeoutOption(command: Command): Command {
  return command.option('--timeout <duration>', 'how long to wait for the answer', '30s')
}

/**
 * The URL of the node's API. --http comes first, then --data, then the configuration: its data directory if a node
 * runs there, else its `http.addr`.
 */
export function findNode(options: NodeOptions): string {
  const config = loadConfig({
    ...(options.config === undefined ? {} : { file: options.config }),
    flags: options.http === undefined ? [] : [{ flag: '--http', path: ['http', 'addr'], value: options.http }],
  })
  if (options.http === undefined) {
    const dir = options.data === undefined ? config.data.dir : resolve(options.data)
    // The default lies below the working directory, which may be anybody's.
    const isNamed = options.data !== undefined || dir !== resolve(DEFAULT_DATA_DIR)
    const address = readAddress(dir, isNamed)
    if (address !== undefined) return address.url
    if (options.data !== undefined) {
      throw new LtxdError('NODE_NOT_RUNNING', `no node is running on the data directory ${dir}: it has no api.json`)
    }
  }
  const { host, port } = config.http
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

export function parseTimeout(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms > 0 && ms <= MAX_TIMEOUT_MS) return ms
  throw new UsageError(`--timeout "${text}" is not valid: expected a duration such as 30s, at most 5m`)
}
