import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { useBuiltTools } from './infra/test-tools.ts'
import { HANG_MS } from './test/harness/effort.ts'
import { assertTable, placeOf, type Project, PROJECTS } from './test/projects.ts'

useBuiltTools()
assertTable(import.meta.dirname)

/** Projects in their order; within one, files in the order of the table, whatever was measured before. */
class TableSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = (spec: TestSpecification) => placeOf(import.meta.dirname, spec.moduleId)
    return (await super.sort(files)).sort(
      (a, b) => a.project.config.sequence.groupOrder - b.project.config.sequence.groupOrder || place(a) - place(b),
    )
  }
}

/** test/projects.ts says what the projects are for. */
export default defineConfig({
  test: {
    reporters: ['default', './infra/plain-reporter.ts'],
    sequence: { sequencer: TableSequencer },
    projects: Object.entries<Project>(PROJECTS).map(([name, { workers, files }], index) => ({
      test: {
        name,
        include: [...files],
        maxWorkers: workers,
        ...(name !== 'unit' && { globalSetup: 'test/harness/build-programs.ts' }),
        // Unit tests leave their process as they found it, and share it: loading all modules anew took half the time.
        isolate: name !== 'unit',
        sequence: { groupOrder: index + 1 },
        // Against what hangs; how fast anything is, no test says.
        testTimeout: HANG_MS,
        hookTimeout: HANG_MS,
      },
    })),
  },
})
