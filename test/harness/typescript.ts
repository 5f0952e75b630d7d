import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

/** Arguments for `node` to run TypeScript from any working directory. */
export const TYPESCRIPT_ARGUMENTS: readonly string[] = [
  '--import',
  pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href,
]
