import { Random } from '../harness/random.ts'
import { Model, TICK_MS } from './model.ts'
import { type Bug, DATABASES, type ModelNode, TTL_MS } from './model-node.ts'

/** Random walks through the model. Each ends with the end of all faults, after which the cluster must recover. */

export type Step = readonly [action: string, node: number, other: number, database: number]
type Act = (model: Model, node: ModelNode, other: ModelNode, database: number) => void

const NODES = 3
/** How fast the clocks of the nodes run: as the margin of a lease allows. */
const RATES = [0.96, 1, 1.04]
const STEPS = 120
const MAX_FAULTS = 4
/** The time in which a cluster without faults has a leader again, and all nodes are equal. */
const RECOVERY_MS = 12 * TTL_MS

const USUAL: Readonly<Record<string, Act>> = {
  tick: (model) => model.tick(),
  pass: (model) => {
    for (let n = 0; n < 8; n++) model.tick()
  },
  commit: (model, node, _, database) => void model.commit(node, database),
  stream: (model, node, other, database) => void model.stream(node, other, database),
  apply: (model, node, _, database) => void model.apply(node, database),
  flow: (model) => flow(model),
  resume: (_, node) => void (node.isPaused = false),
  start: (model, node) => model.start(node),
  'reader ends': (_, node) => void (node.isBlocked = false),
  'store heals': (_, node) => void (node.isCutFromStore = false),
  heal: (model) => model.heal(),
  handoff: (model, node, other) => node.on({ type: 'handoff', to: other.address.nodeId }, model.nowMs),
}
const WEIGHTED = Object.keys(USUAL).flatMap((name) =>
  Array<string>({ tick: 6, pass: 4, commit: 8, stream: 8, apply: 6, flow: 2 }[name] ?? 1).fill(name),
)
const FAULTS: Readonly<Record<string, Act>> = {
  kill: (_, node) => node.end(),
  pause: (_, node) => void (node.isPaused = node.isUp),
  reader: (_, node) => void (node.isBlocked = true),
  'store cut': (_, node) => void (node.isCutFromStore = true),
  cut: (model, node, other) => model.cut(node, other),
  'record lost': (model) => model.store.lose(),
}
const FAULT_NAMES = Object.keys(FAULTS)

export interface Walk {
  readonly violation: string | undefined
  readonly steps: readonly Step[]
}

/** `settleMs`: how long the candidates may take to publish; real ones have a tenth of the TTL. */
export function walk(seed: number, bugs: ReadonlySet<Bug>, settleMs: number): Walk {
  const random = new Random(seed)
  const pick = <T>(list: readonly T[]) => list[random.integer(0, list.length - 1)] as T
  const steps: Step[] = [...Array<Step>(6).fill(['pass', 0, 1, 0]), ...WARM]
  let faults = random.integer(1, MAX_FAULTS)
  for (let n = 0; n < STEPS; n++) {
    const isFault = faults > 0 && n > 5 && random.next() < 0.06
    if (isFault) faults--
    const node = random.integer(0, NODES - 1)
    steps.push([
      pick(isFault ? FAULT_NAMES : WEIGHTED),
      node,
      (node + random.integer(1, NODES - 1)) % NODES,
      random.integer(0, DATABASES - 1),
    ])
  }
  return { violation: replay(seed, steps, bugs, settleMs), steps }
}

/** A working cluster with some transactions. */
const WARM: readonly Step[] = [
  ...['commit', 'flow', 'commit', 'flow', 'flow', 'flow'].map((name): Step => [name, 0, 1, 0]),
]

function replay(seed: number, steps: readonly Step[], bugs: ReadonlySet<Bug>, settleMs: number): string | undefined {
  const random = new Random(seed ^ 0x5eed)
  const rates = Array.from({ length: NODES }, () => RATES[random.integer(0, RATES.length - 1)] ?? 1)
  return run(new Model(rates, bugs, settleMs), steps)
}

function run(model: Model, steps: readonly Step[]): string | undefined {
  for (const [action, node, other, database] of steps) {
    const [a, b] = [model.nodes[node], model.nodes[other]]
    const act = USUAL[action] ?? FAULTS[action]
    if (a === undefined || b === undefined || act === undefined) throw new Error(`no such step: ${action}`)
    if (a.isLive || !['handoff', 'pause', 'kill'].includes(action)) act(model, a, b, database)
    if (model.violation !== undefined) return model.violation
  }
  return recover(model)
}

function flow(model: Model): void {
  for (const from of model.nodes) {
    for (let d = 0; d < DATABASES; d++) {
      for (const to of model.nodes) {
        model.stream(from, to, d)
        model.apply(to, d)
      }
    }
  }
}

function recover(model: Model): string | undefined {
  model.heal()
  for (const node of model.nodes) {
    model.start(node)
    node.isPaused = node.isBlocked = node.isCutFromStore = false
  }
  let hasServed = false
  for (let ms = 0; ms < RECOVERY_MS; ms += TICK_MS) {
    model.tick()
    for (let n = 0; n < 2; n++) flow(model)
    if (model.violation !== undefined) return model.violation
    if (!hasServed && ms > TTL_MS) hasServed = model.nodes.some((node) => model.commit(node, 0))
    if (hasServed && model.isEqual()) return undefined
  }
  return hasServed ? 'available, but nodes stay apart' : 'never available again'
}

/** The fewest steps, in the same order, that end in the same violation. */
export function shrink(
  seed: number,
  { steps, violation }: Walk,
  bugs: ReadonlySet<Bug>,
  settleMs: number,
): readonly Step[] {
  for (let size = Math.floor(steps.length / 2); size > 0; size = Math.floor(size / 2)) {
    for (let at = 0; at + size <= steps.length;) {
      const less = [...steps.slice(0, at), ...steps.slice(at + size)]
      if (replay(seed, less, bugs, settleMs) === violation) steps = less
      else at += size
    }
  }
  return steps
}

/**
 * A slow clock leads, commits all the time, and is cut from the store; fast clocks follow. The clocks differ far more
 * than real ones: otherwise the time in which candidates settle would hide a missing margin.
 */
export function slowLeader(bugs: ReadonlySet<Bug>): string | undefined {
  const model = new Model([0.85, 1.15, 1.15], bugs, TTL_MS / 10)
  const commits = Array.from({ length: 80 }, (): Step[] => [
    ['tick', 0, 1, 0],
    ...[0, 1, 2].map((node): Step => ['commit', node, (node + 1) % NODES, 0]),
  ]).flat()
  return run(model, [...Array<Step>(3).fill(['pass', 0, 1, 0]), ...WARM, ['store cut', 0, 1, 0], ...commits])
}

/** A node is away while two others lead one after the other. Then those end, the record is lost, and it starts. */
export function staleNode(bugs: ReadonlySet<Bug>): string | undefined {
  const model = new Model([1, 1, 1], bugs, TTL_MS / 10)
  const pass = (n: number) => Array<Step>(n).fill(['pass', 0, 1, 0])
  const does = (...actions: [string, number][]) =>
    actions.map(([name, node]): Step => [name, node, (node + 1) % NODES, 0])
  return run(model, [
    ...pass(3),
    ...WARM,
    ...does(['kill', 1], ['commit', 0], ['flow', 0], ['kill', 0]),
    ...pass(8),
    ...does(['commit', 2], ['kill', 2], ['record lost', 0], ['start', 1]),
    ...pass(12),
  ])
}

/**
 * A leader that nobody follows any more loses its record. The others settle, and it does so too, later: then the store
 * loses what the candidates published. (Walk 50081030 with a quarter of the TTL to settle, shrunk.)
 */
export function lostWhileSettling(): string | undefined {
  const model = new Model([0.96, 1.04, 1.04], new Set(), TTL_MS / 4)
  const steps =
    'pass 0 1 0, stream 0 2 0, commit 0 1 0, stream 0 1 0, store cut 0 1 1, commit 0 1 0, pass 2 1 0, flow 2 0 0, ' +
    'commit 0 2 1, pass 0 2 0, record lost 0 2 1, tick 1 0 0, tick 2 0 0, tick 1 2 0, store heals 0 2 0, tick 0 2 1, ' +
    'tick 1 0 0, tick 2 0 0, tick 0 2 0, pass 2 0 0, pass 0 1 0, tick 1 2 0, tick 1 0 0, tick 2 1 1, tick 1 0 0, ' +
    'tick 2 1 1, record lost 0 1 0'
  return run(model, steps.split(', ').map(parseStep))
}

function parseStep(text: string): Step {
  const [, action = '', ...numbers] = /^([a-z ]+) (\d) (\d) (\d)$/.exec(text) ?? []
  const [node = 0, other = 0, database = 0] = numbers.map(Number)
  return [action, node, other, database]
}
