import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, DIED } from './application.ts'
import type { Bench } from './bench.ts'
import {
  type Difference,
  explain,
  type Facts,
  isOpen,
  isRaw,
  note,
  type OpenFinding,
  RAW_WRITE,
} from './differences.ts'
import { Finding } from './finding.ts'
import { freeze, thaw } from './local-client.ts'
import { Oracle } from './oracle.ts'
import { type Program, renderStep, type Step } from './program.ts'
import { Side } from './side.ts'

export interface Outcome {
  readonly finding: Finding | undefined
  /** The difference at which the program ended early. */
  readonly ended: Difference | OpenFinding | undefined
  readonly steps: number
  readonly comparisons: number
  readonly unlike: number
}

const BUSY = 5
/** ltxd's own checkpoint takes locks for a moment. A connection then waits, as for any other. */
const BUSY_MS = 10_000

/** Plays a program on the mount and in the plain directory. */
export class Episode {
  readonly #bench: Bench
  readonly #program: Program
  readonly #folder: string
  readonly #mount: Side
  readonly #plain: Side
  readonly #oracle: Oracle
  readonly #facts: Facts
  /** The process that dies at one of its next writes. */
  #armed: number | undefined
  #frozen: number | undefined
  #ended: Difference | undefined
  #at = 0

  private constructor(bench: Bench, program: Program, folder: string) {
    this.#bench = bench
    this.#program = program
    this.#folder = folder
    this.#mount = new Side(bench.options.program, `${bench.mount}/${folder}`, program)
    this.#plain = new Side(bench.options.program, `${bench.plain}/${folder}`, program)
    this.#oracle = new Oracle(bench, folder, program.names)
    this.#facts = {
      names: program.names,
      unjournaled: false,
      displaced: false,
      sized: false,
    }
  }

  static async play(bench: Bench, program: Program, folder: string): Promise<Outcome> {
    const episode = new Episode(bench, program, folder)
    let finding: Finding | undefined
    try {
      for (const application of [bench.watcher, bench.helper]) await application.ask(['mkdir', folder])
      await episode.#play()
    } catch (error) {
      finding = Finding.of(error)
    }
    await episode.#clear()
    bench.newLines()
    const open = finding && isOpen(finding, episode.#facts)
    return {
      finding: open === undefined && finding !== undefined ? episode.#locate(finding) : undefined,
      ended: open ?? episode.#ended,
      steps: episode.#at,
      comparisons: episode.#oracle.comparisons,
      unlike: episode.#oracle.unlike,
    }
  }

  async #play(): Promise<void> {
    const { steps } = this.#program
    for (; this.#at < steps.length && this.#ended === undefined; this.#at++) {
      const step = steps[this.#at] as Step
      note(this.#facts, step)
      await this.#step(step)
      if (this.#ended === undefined) await this.#oracle.compare(this.#plain.inTransaction, step)
    }
    await this.#finish()
  }

  async #step(step: Step): Promise<void> {
    const { by, words } = step
    switch (words[0]) {
      case 'kill':
        await this.#mount.kill(by)
        await this.#plain.kill(by)
        return this.#oracle.abandoned()
      case 'kill-node':
        return this.#killNode()
      case 'kill-node-in':
        return this.#killNodeIn({ by, words: ['sql', '0', words[2] ?? ''] }, Number(words[1]))
      case 'freeze':
        this.#frozen = await freeze(this.#bench, `${this.#folder}/${words[1]}`)
        return
      case 'thaw':
        this.#frozen = thaw(this.#frozen)
        await sleep(30)
        return
      case 'arm':
        this.#armed = by
        // Starts the process on both sides, which have the same random numbers.
        await this.#plain.ask({ by, words: ['disarm'] })
        await this.#mount.ask(step)
        return
      case 'disarm':
        if (this.#armed === by) await this.#mount.ask(step)
        this.#armed = undefined
        return
      default:
        return this.#armed === by ? this.#armedStep(step) : this.#sameStep(step)
    }
  }

  /** The plain directory first: what the mount must answer is known then, and that it may have to wait. */
  async #sameStep(step: Step): Promise<void> {
    const theirs = await this.#plain.ask(step)
    await this.#judge(step, await this.#ours(step, theirs), theirs)
    if (isRaw(step)) this.#ended ??= RAW_WRITE
  }

  /** Repeats what is busy on the mount alone: ltxd's own checkpoint has the lock. */
  async #ours(step: Step, theirs: Answer): Promise<Answer> {
    const start = performance.now()
    for (;;) {
      const ours = await this.#mount.ask(step)
      if (isSame(ours, theirs) || theirs.code === BUSY || !isBusy(step, ours)) return ours
      if (performance.now() - start > BUSY_MS) return ours
      this.#frozen = thaw(this.#frozen)
      await sleep(5)
    }
  }

  async #judge(step: Step, ours: Answer, theirs: Answer): Promise<void> {
    if (isSame(ours, theirs)) return
    if (!this.#bench.node.running) throw new Finding('the node ended', this.#bench.node.logTail())
    const difference = explain({ step, ours, theirs, facts: this.#facts })
    if (difference === undefined)
      throw new Finding('another answer', `on the mount ${show(ours)}, otherwise ${show(theirs)}`)
    if (difference.ends) this.#ended = difference
  }

  /** The mount first: whether the process dies before or after it committed is to be seen there. */
  async #armedStep(step: Step): Promise<void> {
    let ours = await this.#mount.ask(step)
    if (ours.code !== DIED.code) {
      const theirs = await this.#plain.ask(step)
      if (ours.code === BUSY && theirs.code !== BUSY) ours = await this.#ours(step, theirs)
      if (ours.code !== DIED.code) return this.#judge(step, ours, theirs)
    }
    this.#armed = undefined
    await this.#afterDeath(step)
  }

  /** A process died on the mount: the plain directory follows it. */
  async #afterDeath(step: Step): Promise<void> {
    const seen = await this.#oracle.seen()
    if (seen === undefined) return this.#endAfterDeath()
    if (!(await this.#oracle.isUnchanged(seen))) await this.#plain.ask(step)
    await this.#plain.kill(step.by)
    if (!(await this.#oracle.isSame(seen))) return this.#endAfterDeath(await this.#oracle.explainsMix(seen))
    this.#oracle.abandoned()
  }

  /** A transaction over two WAL databases may be in one of them; a survivor may keep a journal from rollback. */
  async #endAfterDeath(explained = true): Promise<void> {
    if (!explained) throw new Finding('a killed application left another content', await this.#oracle.difference())
    this.#ended = { name: 'an application died half-way', reason: 'as SQLite does', applies: () => true, ends: true }
  }

  async #killNode(): Promise<void> {
    this.#frozen = thaw(this.#frozen)
    await this.#bench.kill()
    await Promise.all([this.#mount.killAll(), this.#plain.killAll()])
    await this.#bench.serve()
    this.#armed = undefined
    const seen = await this.#oracle.seen()
    if (seen === undefined || !(await this.#oracle.isSame(seen)))
      throw new Finding('a killed node lost or changed something', await this.#oracle.difference())
  }

  async #killNodeIn(step: Step, afterMs: number): Promise<void> {
    this.#frozen = thaw(this.#frozen)
    const answer = this.#mount.ask(step)
    await sleep(afterMs)
    await this.#bench.kill()
    const acknowledged = (await answer).code === 0
    await this.#mount.killAll()
    await this.#bench.serve()
    this.#armed = undefined
    const seen = await this.#oracle.seen()
    if (seen === undefined) throw new Finding('not readable after the node was killed', 'the database is locked')
    const wasInTransaction = this.#plain.inTransaction
    if ((acknowledged && !wasInTransaction) || !(await this.#oracle.isUnchanged(seen))) await this.#plain.ask(step)
    await this.#plain.killAll()
    if (!(await this.#oracle.isSame(seen)))
      throw new Finding('a killed node lost or changed something', await this.#oracle.difference())
  }

  async #finish(): Promise<void> {
    this.#frozen = thaw(this.#frozen)
    if (this.#ended === undefined) {
      const [ours, theirs] = [await this.#mount.close(), await this.#plain.close()]
      const at = ours.findIndex((answer, i) => !isSame(answer, theirs[i] as Answer))
      if (at >= 0) throw new Finding('another answer', `at a close: ${show(ours[at] as Answer)}`)
      await this.#oracle.compare(false)
      const seen = await this.#oracle.seen()
      if (seen === undefined || !(await this.#oracle.isSame(seen)))
        throw new Finding('another content', await this.#oracle.difference())
    } else {
      await Promise.all([this.#mount.killAll(), this.#plain.killAll()])
      const seen = await this.#oracle.seen()
      if (seen === undefined || !(await this.#oracle.explainsMix(seen)))
        throw new Finding('a rejection changed the content', await this.#oracle.difference())
    }
    await this.#oracle.compareLogs()
    this.#assertNoAlarm()
    if (!this.#bench.node.running) throw new Finding('the node ended', this.#bench.node.logTail())
  }

  /** A killed application, or a file that was taken away, can be the reason for an alarm. */
  #assertNoAlarm(): void {
    const alarms = this.#bench.newLines().filter((line) => /\bI\d+: /.test(line))
    const killed = this.#program.steps.some(({ words }) => /^(?:kill|arm)/.test(words[0] ?? ''))
    if (alarms.length > 0 && !killed && !this.#facts.displaced) throw new Finding('an alarm', alarms.join('\n'))
  }

  async #clear(): Promise<void> {
    this.#frozen = thaw(this.#frozen)
    await Promise.all([this.#mount.killAll(), this.#plain.killAll()])
    if (!this.#bench.node.running) await this.#bench.renew()
  }

  #locate(finding: Finding): Finding {
    const step = this.#program.steps[this.#at]
    const { unjournaled, displaced, names } = this.#facts
    const verb = step?.words[0] === 'sql' ? /^\w+(?: \w+)?/.exec(step.words[2] ?? '')?.[0] : step?.words[0]
    finding.signature = JSON.stringify([finding.kind, unjournaled, displaced, names[0], verb])
    finding.at = step === undefined ? 'at the end' : `at step ${this.#at + 1}, ${renderStep(step)}`
    return finding
  }
}

function isSame(a: Answer, b: Answer): boolean {
  return a.code === b.code && a.extended === b.extended && a.text === b.text && a.inTransaction === b.inTransaction
}

function isBusy({ words }: Step, { code }: Answer): boolean {
  return code === BUSY || (code === 0 && /^PRAGMA (?:\w+\.)?journal_mode/.test(words[2] ?? ''))
}

function show({ code, extended, text, inTransaction }: Answer): string {
  return `${code}${extended === code ? '' : ` (${extended})`} ${JSON.stringify(text)}${inTransaction ? ', in a transaction' : ''}`
}
