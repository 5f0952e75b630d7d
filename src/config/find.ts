import fs from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from './errors.ts'

export const CONFIG_FILE = 'ltxd.yml'

/** The paths of a configuration file, in the order of the search: `.`, `~/.config/ltxd`, `/etc`. */
export function configPaths(): string[] {
  return [CONFIG_FILE, join(homedir(), '.config', 'ltxd', CONFIG_FILE), join('/etc', CONFIG_FILE)]
}

export function findConfigFile(paths: readonly string[] = configPaths()): string | undefined {
  return paths.find((path) => fs.existsSync(path))
}

/** A configuration that the user names, also as /dev/stdin or `<(…)`. Throws ConfigError. */
export function readConfigFile(path: string): string {
  return reading(path, () => {
    // A pipe with a name waits for a writer, perhaps for ever. That of a descriptor has none.
    if (fs.statSync(path).isFIFO() && hasName(path)) {
      const message = 'is a named pipe, expected a file, /dev/stdin or "<(…)"'
      throw new ConfigError([{ path: [], message, origin: path }])
    }
    return fs.readFileSync(path, 'utf8')
  })
}

/**
 * A configuration that was found, perhaps in a directory of another user, or of all. Its commands run as this user, so
 * only this user and root may have made it. Throws ConfigError.
 */
export function readFoundConfigFile(path: string): string {
  return reading(path, () => {
    // A pipe must not keep anybody waiting.
    const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY)
    try {
      const file = fs.fstatSync(fd)
      const problem = problemOfKind(file) ?? problemOfOwner(fs.lstatSync(path)) ?? problemOfOwner(file)
      if (problem !== undefined) throw new ConfigError([{ path: [], message: problem, origin: path }])
      return fs.readFileSync(fd, 'utf8')
    } finally {
      fs.closeSync(fd)
    }
  })
}

/** False for the pipe of a descriptor, to which a link of /proc leads. */
function hasName(path: string): boolean {
  try {
    return fs.realpathSync.native(path) !== ''
  } catch {
    return false
  }
}

function reading(path: string, read: () => string): string {
  try {
    return read()
  } catch (error) {
    if (error instanceof ConfigError) throw error
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

function problemOfKind(file: fs.Stats): string | undefined {
  if (file.isFile()) return undefined
  return `is ${file.isDirectory() ? 'a directory' : file.isFIFO() ? 'a pipe' : 'a device'}, expected a file`
}

function problemOfOwner({ uid, mode }: fs.Stats): string | undefined {
  const self = process.geteuid?.() ?? 0
  if (uid !== 0 && uid !== self) {
    return `belongs to user ${uid}, and its commands would run as user ${self}: name it with --config if you trust it`
  }
  const isLink = (mode & fs.constants.S_IFMT) === fs.constants.S_IFLNK
  if (isLink || (mode & 0o002) === 0) return undefined
  return 'every user may write to it, and its commands would run as this one: chmod o-w, or name it with --config'
}
