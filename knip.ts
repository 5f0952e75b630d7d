import type { KnipConfig } from 'knip'
import { PROGRAMS } from './test/harness/programs.ts'

/** Nothing unused: no file, export or dependency. */
export default {
  entry: [
    // What Node.js starts by path: worker threads, the local client, libfuse's process, what tests and benchmarks start.
    ...Object.values(PROGRAMS).filter((file) => file.startsWith('test/')),
    'bench/{kernels,restore-s3}.ts',
    'bench/cost/writer.ts',
    'bench/harness/client-process.ts',
    'bench/ltx/child.ts',
    'demo/order-book.ts',
  ],
  project: ['{src,workers,test,bench,demo,infra}/**/*.{ts,js}', '!src/ltx/kernels/assembly/**'],
  ignoreDependencies: [
    'bun', // test/library runs the LTX library in it
    'fs-native-extensions', // loaded with createRequire: it has no types
    'sqlite-wasm-old', // imported by a name that vitest's mock computes
    'light-my-request', // chosen for fastify: later ones bring a package that needs Node.js 22
    'osls', // test/interop packages the functions with it
  ],
  ignoreBinaries: ['fallocate', 'mkfifo', 'mount', 'openssl', 'setpriv', 'sqlite3', 'taskset', 'umount', 'unshare'], // of the system
  // A type may be named by what its file exports, although nobody imports it by that name.
  ignoreExportsUsedInFile: { interface: true, type: true },
} satisfies KnipConfig
