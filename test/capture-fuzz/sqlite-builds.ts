/** The SQLite libraries that the fuzzer's applications are linked to. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { findGo } from '../fuzz/reference/process.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '..', '..')
const CACHE = join(ROOT, 'node_modules', '.cache', 'capture-fuzz')
const SOURCE = join(import.meta.dirname, 'application.c')
const FLAGS = ['-O1', '-w', '-DSQLITE_THREADSAFE=1', '-DSQLITE_OMIT_LOAD_EXTENSION', '-DSQLITE_DEFAULT_MEMSTATUS=0']

/** Versions of mattn/go-sqlite3, whose Go modules contain amalgamations. */
const MODULES = { '3.36.0': 'v1.14.8', '3.46.1': 'v1.14.24', '3.50.4': 'v1.14.32', '3.54.1': 'v1.14.53' } as const

/** `system` is the machine's libsqlite3, `package` the one in better-sqlite3. Both need no network. */
export type SqliteVersion = 'system' | 'package' | keyof typeof MODULES

export const SQLITE_VERSIONS = ['system', 'package', ...Object.keys(MODULES)] as readonly SqliteVersion[]

/** Returns the path of the application with this SQLite. Compiles it the first time, which takes half a minute. */
export async function applicationWith(version: SqliteVersion): Promise<string> {
  const source = version === 'system' ? undefined : await amalgamation(version)
  const key = createHash('sha256')
    .update(readFileSync(SOURCE))
    .update(JSON.stringify([FLAGS, source]))
  const program = join(CACHE, `application-${version}-${key.digest('hex').slice(0, 12)}`)
  if (existsSync(program)) return program
  mkdirSync(CACHE, { recursive: true })
  const linked =
    source === undefined
      ? ['-lsqlite3']
      : [`-DSQLITE_HEADER="${headerOf(source)}"`, await compiledLibrary(version, source), '-lm', '-lpthread']
  const made = `${program}.${process.pid}`
  await run('gcc', [...FLAGS, '-o', made, SOURCE, ...linked])
  renameSync(made, program)
  return program
}

async function compiledLibrary(version: SqliteVersion, source: string): Promise<string> {
  const object = join(CACHE, `sqlite-${version}-${createHash('sha256').update(source).digest('hex').slice(0, 12)}.o`)
  if (existsSync(object)) return object
  const made = `${object}.${process.pid}.o`
  await run('gcc', [...FLAGS, '-c', '-o', made, source])
  renameSync(made, object)
  return object
}

async function amalgamation(version: Exclude<SqliteVersion, 'system'>): Promise<string> {
  if (version === 'package') return join(ROOT, 'node_modules', 'better-sqlite3', 'deps', 'sqlite3', 'sqlite3.c')
  const go = findGo()
  if (go === undefined) throw new Error(`no Go to fetch SQLite ${version} with: run infra/setup.sh --test-tools`)
  // Outside of a module, so that no go.mod decides.
  const options = { cwd: '/', env: { ...process.env, GOTOOLCHAIN: 'local', GOFLAGS: '' } }
  const { stdout } = await run(
    go,
    ['mod', 'download', '-json', `github.com/mattn/go-sqlite3@${MODULES[version]}`],
    options,
  )
  return join((JSON.parse(stdout) as { Dir: string }).Dir, 'sqlite3-binding.c')
}

function headerOf(source: string): string {
  return join(dirname(source), source.endsWith('binding.c') ? 'sqlite3-binding.h' : 'sqlite3.h')
}
