/** Closes a test run with one plain line, `N passed, N failed`, and a run that tested nothing with a failure. */

import type { SerializedError } from 'vitest'
import type { Reporter, TestModule, Vitest } from 'vitest/node'
import { missingTools } from './test-tools.ts'

export default class PlainReporter implements Reporter {
  #vitest: Vitest | undefined

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    let passed = 0
    let skipped = 0
    let failed = unhandled.length
    for (const module of modules) {
      let failedHere = 0
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        else if (state === 'failed') failedHere++
        else skipped++
      }
      // A file that cannot be loaded, or a hook that fails, has no test to blame.
      failed += failedHere === 0 && !module.ok() ? 1 : failedHere
    }
    if (passed + failed === 0 && this.#vitest?.config.watch !== true) process.exitCode = 1
    if (modules.some((module) => module.project.name === 'system')) this.#reportMissing()
    console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  }

  /** Names, once, the tools whose absence left tests out; where everything must be there (CI), that is a failure. */
  #reportMissing(): void {
    const missing = missingTools()
    if (missing.length === 0) return
    const strict = process.env.CI === 'true'
    console.log(`not found: ${missing.join(', ')}; tests that need them were left out`)
    console.log('bash infra/setup.sh --test-tools installs them')
    if (strict) process.exitCode = 1
  }
}
