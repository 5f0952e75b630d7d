/** Closes a test run with one plain line, `N passed, N failed`, and a run that tested nothing with a failure. */

import type { SerializedError } from 'vitest'
import type { Reporter, TestModule, Vitest } from 'vitest/node'
import { BUDGET_S, PROJECTS } from '../test/projects.ts'
import { missingTools } from './test-tools.ts'

/** When a project's first file began, and its last one ended. */
interface Span {
  readonly fromMs: number
  toMs: number
  tests: number
}

export default class PlainReporter implements Reporter {
  #vitest: Vitest | undefined
  #startMs = 0
  readonly #spans = new Map<string, Span>()

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestRunStart(): void {
    this.#startMs = performance.now()
    this.#spans.clear()
  }

  onTestModuleQueued(module: TestModule): void {
    const nowMs = performance.now()
    if (!this.#spans.has(module.project.name))
      this.#spans.set(module.project.name, { fromMs: nowMs, toMs: nowMs, tests: 0 })
  }

  onTestModuleEnd(module: TestModule): void {
    const span = this.#spans.get(module.project.name)
    if (span === undefined) return
    span.toMs = performance.now()
    span.tests += [...module.children.allTests()].length
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
    this.#reportTimes()
    if (modules.some((module) => module.project.name !== 'unit')) this.#reportMissing()
    console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  }

  /**
   * Seconds by project beside their budget. A project over its budget is a warning: how fast anything is, no test says.
   */
  #reportTimes(): void {
    const over: string[] = []
    for (const [name, { workers, budgetS }] of Object.entries(PROJECTS)) {
      const span = this.#spans.get(name)
      if (span === undefined) continue
      const tookS = seconds(span.toMs - span.fromMs)
      console.log(
        `${name.padEnd(6)} ${String(span.tests).padStart(5)} tests, ${workers} at a time: ${tookS} s of ${budgetS} s`,
      )
      if (tookS > budgetS) over.push(`${name} by ${tookS - budgetS} s`)
    }
    const tookS = seconds(performance.now() - this.#startMs)
    console.log(`all    ${tookS} s of ${BUDGET_S} s`)
    if (tookS > BUDGET_S) over.push(`all by ${tookS - BUDGET_S} s`)
    if (over.length > 0) console.log(`warning: over the budget of test/projects.ts: ${over.join(', ')}`)
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

function seconds(ms: number): number {
  return Math.round(ms / 1000)
}
