/** The build that writes the fixture: LTXD_CLI's, or this checkout's. */

import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type * as Workers from '../../../workers/mod.ts'
import { ltxd } from '../../cli/run.ts'
import { LTXD_CLI } from '../../harness/ltxd-node.ts'

const run = promisify(execFile)

/** Runs a command of the build. Throws its output if it fails. */
export async function command(args: readonly string[], options: { cwd?: string } = {}): Promise<string> {
  const { code, stdout, stderr } = await ltxd(args, options)
  if (code !== 0) throw new Error(`ltxd ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`)
  return stdout
}

export async function json<T>(args: readonly string[], options: { cwd?: string } = {}): Promise<T> {
  return JSON.parse(await command([...args, '--json'], options)) as T
}

export async function version(): Promise<string> {
  return (await json<{ version: string }>(['version'])).version
}

/** The commit of the checkout that contains the build. */
export async function commit(): Promise<string> {
  const { stdout } = await run('git', ['-C', dirname(LTXD_CLI), 'rev-parse', 'HEAD'])
  return stdout.trim()
}

/** The build's `ltxd/workers`. */
export async function workersLibrary(): Promise<typeof Workers> {
  const url = pathToFileURL(join(dirname(LTXD_CLI), 'workers.js')).href
  return (await import(url)) as typeof Workers
}
