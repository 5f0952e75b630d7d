import { defineConfig } from 'vitest/config'
import { useBuiltTools } from './infra/test-tools.ts'

useBuiltTools()

/** `unit`: beside the file, no mount, no process. `system`: real kernel, real processes, run one file at a time on a small machine. */
export default defineConfig({
  test: {
    reporters: ['default', './infra/plain-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'workers/**/*.test.ts', 'bench/**/*.test.ts', 'demo/**/*.test.ts'],
          // Against what hangs; how fast anything is, no test says.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
