/** The lines of Node.js that ltxd supports; `node-22` is a program. */
export const NODE_LINES = ['20', '22', '24'] as const

/** Programs that tests compare ltxd with, installed by `infra/setup.sh --test-tools` or on the PATH. */

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export const TEST_TOOLS = [
  'ltx',
  'litestream',
  'versitygw',
  'redis-server',
  'consul',
  'sqlite3',
  'python3',
  'chromium',
  'fusermount3',
  'testfixture',
  'python3-encrypted',
  ...NODE_LINES.map((line) => `node-${line}` as const),
] as const
/** Optional, because MinIO takes minutes to build. */
export const OPTIONAL_TOOLS = ['minio'] as const
export type TestTool = (typeof TEST_TOOLS)[number] | (typeof OPTIONAL_TOOLS)[number]

/** The directory for the programs that setup.sh builds. */
const BUILT = join(import.meta.dirname, '..', 'node_modules', '.cache', 'tools', 'bin')

/** Puts them first on the PATH of this process and its children. */
export function useBuiltTools(): void {
  const path = process.env.PATH ?? ''
  if (!path.split(delimiter).includes(BUILT)) process.env.PATH = BUILT + delimiter + path
}

/** The path of a tool; undefined if it is not installed: `describe.skipIf(findTool('ltx') === undefined)`. */
export function findTool(tool: TestTool): string | undefined {
  const places = (process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== '')
  return places.map((dir) => join(dir, tool)).find(isExecutable)
}

export function missingTools(): (typeof TEST_TOOLS)[number][] {
  return TEST_TOOLS.filter((tool) => findTool(tool) === undefined)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
