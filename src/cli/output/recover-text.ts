/** The output of `ltxd recover`. */

import type { LogFields } from '../../capture/events.ts'
import { formatPosition, formatTXID } from '../../ltx/format/types.ts'
import type { DatabasePlan, RecoveredDatabase } from '../../recovery/directory.ts'
import type { RecoveryFacts } from '../../recovery/plan.ts'
import { describeFindings, describeStep } from '../../recovery/text.ts'
import { printable } from './output.ts'

export function noDatabases(dir: string): string {
  return `${printable(dir)} contains no databases\n`
}

export function formatPlan(planned: DatabasePlan): string {
  const found = findings(planned).map(({ what, state }) => `  ${what.padEnd(8)}${state}`)
  const steps = stepsOf(planned).map((step, i) => `  ${i + 1}. ${step}`)
  return [planned.name, ...found, ...steps].map(printable).join('\n') + '\n'
}

export function planToJson(planned: DatabasePlan): object {
  const { name, plan, advice, facts } = planned
  return {
    name,
    verdict: plan.kind,
    found: facts === undefined ? null : factsToJson(facts),
    steps: stepsToJson(planned),
    text: stepsOf(planned),
    ...(plan.kind === 'refuse' && { reason: plan.reason, advice }),
  }
}

export function formatResult(recovered: RecoveredDatabase): string {
  const name = printable(recovered.name)
  const { rejection, position } = recovered
  if (rejection !== undefined) return `${name}: not served: ${printable(rejection)}\n`
  const done = stepsOf(recovered).map((step) => `  ${printable(step)}\n`)
  if (position === undefined) return `${name}: ${recovered.facts?.log === undefined ? 'not a database' : 'dropped'}\n`
  return `${name}: at ${formatPosition(position)}\n${done.join('')}`
}

export function resultToJson(recovered: RecoveredDatabase): object {
  const { name, position, rejection, plan } = recovered
  return {
    name,
    verdict: rejection === undefined ? plan.kind : 'refuse',
    position: position === undefined ? null : formatPosition(position),
    steps: stepsToJson(recovered),
    ...(rejection !== undefined && { reason: rejection }),
  }
}

function factsToJson({ log, ...others }: RecoveryFacts): object {
  return {
    log:
      log === undefined
        ? null
        : { position: formatPosition(log.last), synced: formatPosition(log.synced), torn: log.torn },
    ...others,
  }
}

/** The plan's steps, with positions and TXIDs in their usual text form. */
function stepsToJson({ plan }: DatabasePlan): object[] {
  if (plan.kind !== 'recover') return []
  return plan.steps.map((step) => {
    if (step.step === 'replay-log') return { step: step.step, after: formatTXID(step.after), to: formatTXID(step.to) }
    return 'position' in step ? { step: step.step, position: formatPosition(step.position) } : step
  })
}

/** One line. */
export function formatWarning(message: string, { database, ...fields }: LogFields): string {
  const rest = Object.entries(fields).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key} ${value instanceof Error ? value.message : value}`],
  )
  const text = rest.length === 0 ? message : `${message} (${rest.join(', ')})`
  return database === undefined ? text : `${database}: ${text}`
}

function findings({ facts }: DatabasePlan): { what: string; state: string }[] {
  return facts === undefined ? [{ what: 'log', state: 'damaged' }] : describeFindings(facts)
}

function stepsOf({ plan, facts, advice }: DatabasePlan): string[] {
  const { torn = false, beyondTear = 0 } = facts?.log ?? {}
  const beyond = beyondTear === 0 ? '' : `, with ${beyondTear} complete ones behind a lost one: diverged/ gets a copy`
  const cut = torn ? [`truncate the torn tail of the log after its last complete transaction${beyond}`] : []
  switch (plan.kind) {
    case 'refuse':
      return [`not served: ${plan.reason}; ${advice}`]
    case 'nothing':
      return [
        ...cut,
        facts?.log === undefined ? 'nothing to do: it is not a database' : 'nothing to do: it was dropped',
      ]
    case 'recover':
      return [...cut, ...plan.steps.map(describeStep)]
  }
}
