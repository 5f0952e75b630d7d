import { defineConfig } from 'tsdown'

/** Three entries: the command line, the data plane's worker thread, and the public LTX library. */
export default defineConfig({
  entry: { cli: 'src/cli/main.ts', dataplane: 'src/node/dataplane-thread.ts', ltx: 'src/ltx/mod.ts' },
  format: 'esm',
  platform: 'node',
  target: 'node20',
  outExtensions: () => ({ js: '.js', dts: '.d.ts' }),
  dts: { entry: 'src/ltx/mod.ts' },
  sourcemap: true,
  clean: true,
  unbundle: false,
})
