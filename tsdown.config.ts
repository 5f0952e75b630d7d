import { defineConfig } from 'tsdown'

/**
 * The command line, the data plane's worker threads, a replica's local client, libfuse's process, a library's node, and
 * what is public: starting a node and restoring, the LTX library, asking workers for work.
 */
export default defineConfig({
  entry: {
    cli: 'src/cli/main.ts',
    dataplane: 'src/dataplane/thread.ts',
    'sync-thread': 'src/dataplane/sync-thread.ts',
    'keep-awake': 'src/dataplane/keep-awake-thread.ts',
    'local-client': 'src/replica/client/main.ts',
    'fuse-bridge': 'src/fuse/bridge/main.ts',
    'node-process': 'src/library/node-process.ts',
    index: 'src/library/mod.ts',
    ltx: 'src/ltx/mod.ts',
    workers: 'workers/mod.ts',
  },
  format: 'esm',
  platform: 'node',
  target: 'node20',
  outExtensions: () => ({ js: '.js', dts: '.d.ts' }),
  dts: {
    entry: ['src/library/mod.ts', 'src/ltx/mod.ts', 'workers/mod.ts'],
    compilerOptions: { stripInternal: true },
    sourcemap: false,
  },
  clean: true,
  // How long each plugin took: types take longest, always.
  checks: { pluginTimings: false },
  unbundle: false,
})
