import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { Cost, TaskName } from './cost.ts'

/** ltxd, superfly/ltx in Go, and the best library for Node.js. */
export type ContestantName = 'ltxd' | 'reference' | 'library'

/** Runs a task in a new process. */
export interface Contestant {
  readonly name: ContestantName
  run(task: TaskName, args: readonly string[]): Promise<Cost>
}

export interface Contestants {
  readonly all: readonly Contestant[]
  /** The reason why one is missing. */
  readonly missing: readonly string[]
}

const ROOT = join(import.meta.dirname, '..', '..')
const BUILT = join(ROOT, 'node_modules', '.cache', 'ltxd-bench')
/** The path of Go's own installer. */
const GO_DIRECTORY = '/usr/local/go/bin'
/** Fifty times the time of the slowest task. */
const PATIENCE_MS = 600_000

const execute = promisify(execFile)

/** Compiles the programs. Every process is bound to the machine's first `cores` cores, 1 or 2. */
export async function contestants(cores: number, progress: (text: string) => void): Promise<Contestants> {
  progress('compiling')
  const child = join(BUILT, 'child.js')
  const tsdown = join(ROOT, 'node_modules', '.bin', 'tsdown')
  const options = ['--no-config', '--format', 'esm', '--platform', 'node', '--no-clean', '--logLevel', 'error']
  await execute(tsdown, ['bench/ltx/child.ts', ...options, '--no-dts', '--out-dir', BUILT], { cwd: ROOT })
  const node = (side: string) => [process.execPath, existsSync(child) ? child : child.replace(/js$/, 'mjs'), side]
  const own = (['ltxd', 'library'] as const).map((name) => contestant(name, node(name), cores))
  const [ltxd, library] = own as [Contestant, Contestant]
  const go = findGo()
  if (go === undefined) {
    return { all: [ltxd, library], missing: ['reference: Go is not installed, so superfly/ltx was not measured'] }
  }
  const reference = join(BUILT, 'reference')
  try {
    await execute(go, ['build', '-o', reference, '.'], { cwd: join(ROOT, 'bench', 'reference'), timeout: PATIENCE_MS })
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[1] ?? error.message) : String(error)
    return { all: [ltxd, library], missing: [`reference: Go could not build it: ${reason}`] }
  }
  return { all: [ltxd, contestant('reference', [reference], cores), library], missing: [] }
}

function contestant(name: ContestantName, command: readonly string[], cores: number): Contestant {
  const bound = ['-c', cores === 1 ? '0' : `0-${Math.min(cores, availableParallelism()) - 1}`]
  return {
    name,
    async run(task, args) {
      const { stdout } = await execute('taskset', [...bound, ...command, task, ...args], {
        env: { ...process.env, GOMAXPROCS: String(cores) },
        timeout: PATIENCE_MS,
      })
      return JSON.parse(stdout) as Cost
    },
  }
}

function findGo(): string | undefined {
  const places = [...(process.env.PATH ?? '').split(delimiter), GO_DIRECTORY]
  return places
    .filter((place) => place !== '')
    .map((place) => join(place, 'go'))
    .find((path) => spawnSync(path, ['version'], { stdio: 'ignore' }).status === 0)
}
