/** Why a node that could acquire the lease does not. */

import type { Leader } from './lease/lease.ts'
import type { Event } from './role/role-events.ts'
import type { Rules, State } from './role/role-state.ts'
import type { Troubles } from './troubles.ts'

export function noteWaits(troubles: Troubles, state: State, event: Event, rules: Rules): void {
  const { unfit = undefined } = state.name === 'standing-by' ? state : {}
  if (unfit === undefined) troubles.over('unfit')
  else troubles.began('unfit', `the lease is free, but this node does not lead: ${unfit}`)
  if (event.type !== 'stood') return
  if (event.ahead === undefined || unfit !== undefined) return troubles.over('yield')
  const seconds = Math.ceil(rules.yieldMs / 1_000)
  const { hostname } = event.ahead
  troubles.began('yield', `${hostname} has more than this node, which leaves the lease to it for up to ${seconds} s`)
}

export function missingHistory({ holder: { hostname }, term, kept }: Leader): string {
  const reason =
    kept === 'alone'
      ? `${hostname} has transactions that no other node is known to have`
      : `${hostname} led later than this node's history reaches`
  return (
    `${reason} (term ${term}), so this node does not lead: start ${hostname}, or a replica that has everything from it. ` +
    `"ltxd promote --force" leads without those transactions, and ${hostname} sets them aside when it returns`
  )
}
