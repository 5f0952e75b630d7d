import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, DIED } from './application.ts'
import type { Bench } from './bench.ts'
import { recoversLess } from './committed.ts'
import {
  CUT_BY_HINT,
  DIED_HALF_WAY,
  type Difference,
  explain,
  LOST_BY_SQLITE,
  LOST_WAL,
  NEVER_CAPTURED,
} from './differences.ts'
import { Facts } from './facts.ts'
import { isFileOperation, playFileStep } from './file-steps.ts'
import { Finding } from './finding.ts'
import { freeze, thaw } from './local-client.ts'
import { Oracle } from './oracle.ts'
import { isBusy, isOnlyNotAnew, isSame, type Outcome, show } from './outcome.ts'
import { type Program, renderStep, type Step } from './program.ts'
import { Side } from './side.ts'

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
  readonly #rejected: string[] = []
  #modeBefore = ''
  #at = 0

  private constructor(bench: Bench, program: Program, folder: string) {
    this.#bench = bench
    this.#program = program
    this.#folder = folder
    this.#mount = new Side(bench.options.program, `${bench.mount}/${folder}`, program)
    this.#plain = new Side(bench.options.program, `${bench.plain}/${folder}`, program)
    this.#oracle = new Oracle(bench, folder, program.names)
    this.#facts = new Facts(`${bench.plain}/${folder}`, program.names)
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
    return {
      finding: finding && episode.#locate(finding),
      ended: episode.#ended,
      rejected: episode.#rejected,
      steps: episode.#at,
      comparisons: episode.#oracle.comparisons,
      unlike: episode.#oracle.unlike,
    }
  }

  async #play(): Promise<void> {
    const { steps } = this.#program
    for (; this.#at < steps.length && this.#ended === undefined; this.#at++) {
      const step = steps[this.#at] as Step
      await this.#step(step)
      if (this.#facts.hasLostWal) this.#ended ??= LOST_WAL
      if (this.#facts.asksForNoJournal && this.#facts.neverUnlocks) this.#ended ??= NEVER_CAPTURED
      const isLate = this.#facts.mayBeLate(isFileOperation(step), this.#plain.isWriting)
      if (this.#ended === undefined) await this.#oracle.compare(this.#plain.isWriting, isLate)
    }
    await this.#finish()
  }

  async #step(step: Step): Promise<void> {
    const { by, words } = step
    switch (words[0]) {
      case 'kill':
        this.#noteLoss()
        await this.#mount.kill(by)
        await this.#plain.kill(by)
        this.#facts.died(by)
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
        if (isFileOperation(step)) return this.#fileStep(step)
        await (this.#armed === by ? this.#armedStep(step) : this.#sameStep(step))
        if (words[0] === 'close') this.#noteLoss(true)
    }
  }

  /** The plain directory first: what the mount must answer is known then, and that it may have to wait. */
  async #sameStep(step: Step): Promise<void> {
    this.#modeBefore = this.#facts.asksForNoJournal ? await this.#journalMode(step) : ''
    const isCut = this.#facts.watchForCut(step)
    const theirs = await this.#plain.ask(step)
    await this.#judge(step, await this.#ours(step, theirs), theirs)
    if (isCut()) this.#ended ??= CUT_BY_HINT
  }

  async #fileStep(step: Step): Promise<void> {
    const [mount, plain, facts] = [this.#mount, this.#plain, this.#facts]
    const outcome = await playFileStep(step, { mount, plain, directory: `${this.#bench.plain}/${this.#folder}`, facts })
    if ('rejected' in outcome) this.#rejected.push(outcome.rejected)
    else await this.#judge(step, outcome.ours, outcome.theirs)
  }

  /** Repeats what is busy on the mount alone: ltxd's own checkpoint has the lock. */
  async #ours(step: Step, theirs: Answer): Promise<Answer> {
    const start = performance.now()
    for (;;) {
      const ours = await this.#mount.ask(step)
      if (isSame(ours, theirs) || theirs.code === BUSY || !isBusy(step, ours)) return ours
      if (isOnlyNotAnew(step, ours)) return ours
      if (performance.now() - start > BUSY_MS) return ours
      this.#frozen = thaw(this.#frozen)
      await sleep(5)
    }
  }

  async #judge(step: Step, ours: Answer, theirs: Answer): Promise<void> {
    if (isSame(ours, theirs)) return this.#facts.note(step, theirs)
    if (!this.#bench.node.running) throw new Finding('the node ended', this.#bench.node.logTail())
    const journalModes = [this.#modeBefore, await this.#journalMode(step)] as const
    const walBytes = await this.#walBytes()
    const difference = explain({ step, ours, theirs, facts: this.#facts, journalModes, walBytes })
    if (difference === undefined)
      throw new Finding('another answer', `on the mount ${show(ours)}, otherwise ${show(theirs)}`)
    this.#facts.note(step, theirs)
    if (difference.ends) this.#ended = difference
  }

  /** Of the step's connection, in the plain directory. */
  async #journalMode({ by, words }: Step): Promise<string> {
    const slot = words[1] ?? ''
    if (!/^\d$/.test(slot)) return ''
    const { code, text } = await this.#plain.ask({ by, words: ['sql', slot, 'PRAGMA journal_mode'] })
    return code === 0 ? (text.split('\n')[0] ?? '') : ''
  }

  async #walBytes(): Promise<number> {
    const { text } = await this.#bench.watcher.ask(['size', `${this.#folder}/${this.#program.names[0]}-wal`])
    return Number(text)
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
    this.#facts.died(step.by)
    await this.#afterDeath(step)
  }

  /** A process died on the mount: the plain directory follows it. */
  async #afterDeath(step: Step): Promise<void> {
    const seen = await this.#oracle.seen()
    if (seen === undefined) return this.#endAfterDeath()
    if (!(await this.#oracle.isUnchanged(seen))) await this.#plain.ask(step)
    this.#noteLoss()
    await this.#plain.kill(step.by)
    if (this.#ended !== undefined) return
    if (!(await this.#oracle.isSame(seen))) return this.#endAfterDeath(await this.#oracle.explainsMix(seen))
    this.#oracle.abandoned()
  }

  /** A process of the plain directory is about to die, or `isClosed`, and may have left a WAL without an index. */
  #noteLoss(isClosed = false): void {
    const paths = this.#program.names.map((name) => `${this.#bench.plain}/${this.#folder}/${name}`)
    const left = paths.filter((path) => !isClosed || !existsSync(`${path}-shm`))
    if (left.some(recoversLess)) this.#ended = LOST_BY_SQLITE
  }

  /** A transaction over two WAL databases may be in one of them; a survivor may keep a journal from rollback. */
  async #endAfterDeath(explained = true): Promise<void> {
    if (!explained) throw new Finding('a killed application left another content', await this.#oracle.difference())
    this.#ended = DIED_HALF_WAY
  }

  async #killNode(): Promise<void> {
    this.#frozen = thaw(this.#frozen)
    this.#noteLoss()
    await this.#bench.kill()
    await Promise.all([this.#mount.killAll(), this.#plain.killAll()])
    await this.#bench.serve()
    this.#facts.died()
    this.#armed = undefined
    if (this.#ended !== undefined) return
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
    this.#facts.died()
    this.#armed = undefined
    const seen = await this.#oracle.seen()
    if (seen === undefined) throw new Finding('not readable after the node was killed', 'the database is locked')
    const wasInTransaction = this.#plain.inTransaction
    if ((acknowledged && !wasInTransaction) || !(await this.#oracle.isUnchanged(seen))) await this.#plain.ask(step)
    this.#noteLoss()
    await this.#plain.killAll()
    if (this.#ended === undefined && !(await this.#oracle.isSame(seen)))
      throw new Finding('a killed node lost or changed something', await this.#oracle.difference())
  }

  async #finish(): Promise<void> {
    this.#frozen = thaw(this.#frozen)
    if (this.#ended === undefined && this.#facts.hasDisplaced) this.#ended = LOST_WAL
    if (this.#ended === undefined) {
      const [ours, theirs] = [await this.#mount.close(), await this.#plain.close()]
      const at = ours.findIndex((answer, i) => !isSame(answer, theirs[i] as Answer))
      if (at >= 0) throw new Finding('another answer', `at a close: ${show(ours[at] as Answer)}`)
      this.#noteLoss(true)
    }
    if (this.#ended === undefined) {
      await this.#oracle.compare(false)
      const seen = await this.#oracle.seen()
      if (seen === undefined || !(await this.#oracle.isSame(seen)))
        throw new Finding('another content', await this.#oracle.difference())
    } else {
      await Promise.all([this.#mount.killAll(), this.#plain.killAll()])
      const seen = await this.#oracle.seen()
      // What a renamed file, or a lost WAL, leaves in the plain directory is not what was committed.
      const isKnown = this.#ended !== LOST_WAL && this.#ended !== LOST_BY_SQLITE && !this.#facts.hasDisplaced
      if (isKnown && (seen === undefined || !(await this.#oracle.explainsMix(seen))))
        throw new Finding('a rejection changed the content', await this.#oracle.difference())
    }
    await this.#oracle.compareLogs()
    this.#assertNoAlarm()
    if (!this.#bench.node.running) throw new Finding('the node ended', this.#bench.node.logTail())
  }

  #assertNoAlarm(): void {
    if (this.#facts.hasDisplaced || this.#facts.hasLostWal) return this.#bench.excuseAlarms(this.#folder)
    const alarms = this.#bench.newAlarms()
    if (alarms.length > 0) throw new Finding('an alarm', alarms.join('\n'))
  }

  async #clear(): Promise<void> {
    this.#frozen = thaw(this.#frozen)
    await Promise.all([this.#mount.killAll(), this.#plain.killAll()])
    this.#bench.forget(this.#folder)
    if (!this.#bench.node.running) await this.#bench.renew()
  }

  #locate(finding: Finding): Finding {
    const step = this.#program.steps[this.#at]
    const { asksForNoJournal, hasDisplaced } = this.#facts
    const verb = step?.words[0] === 'sql' ? /^\w+(?: \w+)?/.exec(step.words[2] ?? '')?.[0] : step?.words[0]
    finding.signature = JSON.stringify([finding.kind, asksForNoJournal, hasDisplaced, this.#program.names[0], verb])
    finding.at = step === undefined ? 'at the end' : `at step ${this.#at + 1}, ${renderStep(step)}`
    return finding
  }
}
