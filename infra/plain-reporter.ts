/** Ends a test run with a plain line, `N passed, N failed`. A run without tests fails. */

import type { SerializedError } from 'vitest'
import type { Reporter, TestModule, Vitest } from 'vitest/node'
import { BUDGET_S, PROJECTS } from '../test/projects.ts'
import { missingTools } from './test-tools.ts'

/** The start of a project's first file, and the end of its last one. */
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
      // Errors of loading a file, or of a hook, belong to no test.
      failed += failedHere === 0 && !module.ok() ? 1 : failedHere
    }
    if (passed + failed === 0 && this.#vitest?.config.watch !== true) process.exitCode = 1
    this.#reportTimes()
    if (modules.some((module) => module.project.name !== 'unit')) this.#reportMissing()
    console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  }

  /**
   * Prints the seconds of each project beside its budget. A project over its budget is only a warning, because no test
   * depends on speed.
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

  /** Names the missing tools whose tests were skipped. In CI this is a failure. */
  #reportMissing(): void {
    const missing = missingTools()
    if (missing.length === 0) return
    const strict = process.env.CI === 'true'
    console.log(`not found: ${missing.join(', ')}; tests that need them were skipped`)
    console.log('bash infra/setup.sh --test-tools installs them')
    if (strict) process.exitCode = 1
  }
}

function seconds(ms: number): number {
  return Math.round(ms / 1000)
}
