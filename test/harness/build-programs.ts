import { fileURLToPath } from 'node:url'
import { build } from 'tsdown'
import { PROGRAMS, PROGRAMS_DIRECTORY } from './programs.ts'

/** Set for a run inside a run, whose user may not be allowed to write here. */
const DONE = 'LTXD_TEST_PROGRAMS_BUILT'

/** Builds the programs of programs.ts, once a run: Vitest calls it before the first test of each project. */
export default async function buildPrograms(): Promise<void> {
  if (process.env[DONE] === '1') return
  await build({
    config: false,
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    entry: PROGRAMS,
    outDir: PROGRAMS_DIRECTORY,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    outExtensions: () => ({ js: '.js' }),
    dts: false,
    // Packages stay what they are: some find files of their own beside them.
    deps: { skipNodeModulesBundle: true },
    sourcemap: true,
    // A file that another run has just started stays there.
    clean: false,
    logLevel: 'warn',
  })
  process.env[DONE] = '1'
}
