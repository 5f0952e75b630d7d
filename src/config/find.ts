import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from './errors.ts'

export const CONFIG_FILE = 'ltxd.yml'

/** The paths of a configuration file, in the order of the search: `.`, `~/.config/ltxd`, `/etc`. */
export function configPaths(): string[] {
  return [CONFIG_FILE, join(homedir(), '.config', 'ltxd', CONFIG_FILE), join('/etc', CONFIG_FILE)]
}

export function findConfigFile(paths: readonly string[] = configPaths()): string | undefined {
  return paths.find((path) => existsSync(path))
}

/** Throws ConfigError when the file cannot be read. */
export function readConfigFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason =
      code === 'ENOENT'
        ? 'there is no such file; "ltxd init" writes one'
        : code === 'EISDIR'
          ? 'is a directory, expected a file'
          : message
    throw new ConfigError([{ path: [], message: reason, origin: path }], { cause: error })
  }
}
