import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'tsdown'

/** A fault that the fuzzer must find: one line of the source, replaced. */
export interface Fault {
  readonly name: string
  /** Below `src/`. */
  readonly file: string
  readonly line: string
  readonly replacement: string
  /** The kinds of findings that it may lead to. */
  readonly foundAs: readonly string[]
}

const ROOT = join(import.meta.dirname, '..', '..')

/** Builds ltxd with a fault, beside the right build. Returns the path of its command. */
export async function buildWith({ name, file, line, replacement }: Fault): Promise<string> {
  const home = join(ROOT, 'node_modules', '.cache', 'capture-fuzz', `faulty-${name.replaceAll(/\W+/g, '-')}`)
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(home, 'package.json'))
  let replaced = 0
  await build({
    config: false,
    cwd: ROOT,
    entry: {
      cli: 'src/cli/main.ts',
      dataplane: 'src/dataplane/thread.ts',
      'sync-thread': 'src/dataplane/sync-thread.ts',
      'keep-awake': 'src/dataplane/keep-awake-thread.ts',
      'local-client': 'src/replica/client/main.ts',
    },
    outDir: join(home, 'dist'),
    format: 'esm',
    platform: 'node',
    target: 'node20',
    outExtensions: () => ({ js: '.js' }),
    dts: false,
    deps: { skipNodeModulesBundle: true },
    logLevel: 'warn',
    plugins: [
      {
        name: 'fault',
        load(id: string) {
          if (id !== join(ROOT, 'src', file)) return undefined
          const source = readFileSync(id, 'utf8')
          const parts = source.split(line)
          if (parts.length !== 2) throw new Error(`expected "${line}" once in ${file}, found ${parts.length - 1}`)
          replaced++
          return { code: parts.join(replacement), moduleType: 'ts' as const }
        },
      },
    ],
  })
  if (replaced === 0) throw new Error(`${file} is not part of the build`)
  return join(home, 'dist', 'cli.js')
}
