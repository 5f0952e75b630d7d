import { fileURLToPath } from 'node:url'
import { build } from 'tsdown'
import { PROGRAMS, PROGRAMS_DIRECTORY } from './programs.ts'

/** Set for a test run inside a test run, whose user may not be allowed to write here. */
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
    // Packages are not bundled: some load files beside them.
    deps: { skipNodeModulesBundle: true },
    sourcemap: true,
    // Another run may be using the files.
    clean: false,
    logLevel: 'warn',
  })
  process.env[DONE] = '1'
}
